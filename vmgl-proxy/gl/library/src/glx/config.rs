//! Configurations of drawables: the few there are, and which a program's wishes allow.
//!
//! A renderer's drawable has eight bits of each colour and of alpha, depth of 24 and stencil of 8 bits. What differs is the
//! X visual and whether there are two buffers. There are configurations without stencil and without depth, too, for programs
//! that look for what they want exactly; what they draw on has more than they see. Where the renderer can, there are such with
//! several samples a pixel, on a visual of their own if the server has one.

pub(crate) const DOUBLEBUFFER: i32 = 5;
const DONT_CARE: i32 = -1;
/// An enum that is in use says that there is none of something.
const NONE: i32 = 0x8000;

/// A configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Config {
    /// From 1 on.
    pub(crate) id: i32,
    pub(crate) screen: i32,
    pub(crate) visual: u32,
    pub(crate) depth: u8,
    pub(crate) double: bool,
    /// Bits of depth and of stencil.
    pub(crate) buffers: (i32, i32),
    /// Samples of a pixel, where there are several; else 0.
    pub(crate) samples: u8,
    /// Whether pixmaps of its depth can be drawn on.
    pub(crate) pixmaps: bool,
}

/// A visual of the X server's that can be drawn with: its id and its bits of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visual {
    pub(crate) id: u32,
    pub(crate) depth: u8,
}

/// The configurations of a screen. Where the server has several visuals of a depth, one of them stands for a single buffer,
/// so that a program that chooses a visual says how it draws, and another for `samples` a pixel, if the renderer has that.
///
/// A program that looks at each visual meets the root's, which is the first here, behind those of depth 32, and may take one of these
/// though it cannot make a window of it. Where there are enough, the server's first stands for the same as the root's.
pub(crate) fn of_screen(screen: i32, visuals: &[Visual], samples: u8) -> Vec<Config> {
    let mut configs = Vec::new();
    for depth in [24, 32] {
        let these: Vec<_> = visuals.iter().filter(|visual| visual.depth == depth).collect();
        let Some(first) = these.first() else { continue };
        let at = |role: usize| these.get(role).unwrap_or(first);
        let (doubles, single, several) =
            if these.len() < 4 { (&these[..1], at(1), at(2)) } else { (&these[..2], at(2), at(3)) };
        let (visual, double, buffers) = (first.id, true, (24, 8));
        let plain = Config { id: 0, screen, visual, depth, double, buffers, samples: 0, pixmaps: true };
        for buffers in [(24, 8), (24, 0), (0, 0)] {
            let doubles = doubles.iter().map(|visual| (visual, true));
            for (visual, double) in doubles.chain([(single, false)]) {
                let visual = visual.id;
                configs.push(Config { visual, double, buffers, ..plain });
            }
        }
        for buffers in [(24, 8), (24, 0)].into_iter().filter(|_| samples > 0) {
            configs.push(Config { visual: several.id, double: true, buffers, samples, ..plain });
        }
    }
    // Who takes the first of what fits gets one sample a pixel.
    configs.sort_by_key(|config| config.samples);
    for (config, id) in configs.iter_mut().zip(1..) {
        config.id = id;
    }
    configs
}

impl Config {
    /// For the renderer: two buffers, depth, stencil, alpha, and the samples from the eighth bit on.
    pub(crate) fn bits(&self) -> u32 {
        0b1110 | u32::from(self.double) | u32::from(self.samples) << 8
    }

    /// What GLX calls it; none if there is no such thing.
    pub(crate) fn get(&self, attribute: i32) -> Option<i32> {
        Some(match attribute {
            // USE_GL, RGBA and whether there are two buffers.
            1 | 4 => 1,
            DOUBLEBUFFER => i32::from(self.double),
            // Bits of a pixel.
            2 => 32,
            8..=11 => 8,
            12 => self.buffers.0,
            13 => self.buffers.1,
            // Level, stereo, auxiliary buffers, accumulation.
            3 | 6 | 7 | 14..=17 => 0,
            // Whether there are several samples, and how many.
            100_000 => i32::from(self.samples > 0),
            100_001 => self.samples.into(),
            // Caveat, transparency and its values.
            0x20 | 0x23 => NONE,
            0x24..=0x28 => 0,
            // True colour.
            0x22 => 0x8002,
            0x800b => self.visual.cast_signed(),
            0x800c => self.screen,
            // Windows, pbuffers and pixmaps; RGBA; renderable by X.
            0x8010 => 0b101 | i32::from(self.pixmaps) << 1,
            0x8011 => 1,
            0x8012 => 1,
            0x8013 => self.id,
            0x8016 | 0x8017 => 16_384,
            0x8018 => 16_384 * 16_384,
            // sRGB.
            0x20b2 => 0,
            _ => return None,
        })
    }

    /// Whether a wish of `glXChooseFBConfig` is fulfilled; none if GLX has no such attribute.
    fn fulfils(&self, attribute: i32, wanted: i32) -> Option<bool> {
        let is = self.get(attribute)?;
        Some(match attribute {
            _ if wanted == DONT_CARE => true,
            // At least so much.
            2 | 7..=17 | 100_000 | 100_001 => is >= wanted,
            // At least these.
            0x8010 | 0x8011 => is & wanted == wanted,
            0x24..=0x28 | 0x8016..=0x8018 => true,
            _ => is == wanted,
        })
    }
}

/// The configurations that fulfil the wishes, those with two buffers first.
pub(crate) fn choose<'c>(configs: &'c [Config], wishes: &[(i32, i32)]) -> Vec<&'c Config> {
    // One that is named by its id is chosen by that alone.
    if let Some((_, id)) = wishes.iter().find(|(attribute, _)| *attribute == 0x8013) {
        return configs.iter().filter(|config| config.id == *id).collect();
    }
    let all = |config: &&Config| {
        wishes.iter().all(|(attribute, wanted)| config.fulfils(*attribute, *wanted).unwrap_or(false))
    };
    configs.iter().filter(all).collect()
}

/// The configuration that the wishes of `glXChooseVisual` allow: what is not named there must not be.
pub(crate) fn choose_visual<'c>(configs: &'c [Config], wishes: &[(i32, i32)]) -> Option<&'c Config> {
    let double = wishes.iter().any(|(attribute, wanted)| *attribute == DOUBLEBUFFER && *wanted != 0);
    let fits = |config: &&Config| {
        let fulfils = |(attribute, wanted): &(i32, i32)| match *attribute {
            DOUBLEBUFFER => true,
            other => config.fulfils(other, *wanted).unwrap_or(false),
        };
        config.double == double && wishes.iter().all(fulfils)
    };
    configs.iter().find(fits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{Config, Visual, choose, choose_visual, of_screen};

    fn configs() -> Vec<Config> {
        let visuals = [(33, 24), (34, 24), (35, 24), (80, 32)].map(|(id, depth)| Visual { id, depth });
        of_screen(0, &visuals, 0)
    }

    #[test]
    fn several_samples_are_chosen_by_who_wants_them_and_by_nobody_else() {
        let visuals = [(33, 24), (34, 24), (35, 24)].map(|(id, depth)| Visual { id, depth });
        let configs = of_screen(0, &visuals, 4);
        assert_eq!(choose(&configs, &[])[0].samples, 0);
        let many = choose(&configs, &[(5, 1), (100_000, 1), (100_001, 2)]);
        assert!(many.iter().all(|config| config.samples == 4) && !many.is_empty());
        assert_eq!(many[0].bits() >> 8, 4);
        // A visual of its own says it, too.
        let visual = choose_visual(&configs, &[(4, 1), (5, 1), (100_000, 1)]).unwrap();
        assert_eq!((visual.visual, visual.samples), (35, 4));
        assert!(choose(&configs, &[(100_001, 8)]).is_empty());
        assert!(configs.iter().map(|config| config.id).eq(1..=8));
    }

    #[test]
    fn a_visual_tells_whether_there_are_two_buffers() {
        let configs = configs();
        // RGBA, DEPTH_SIZE 1, with DOUBLEBUFFER and without.
        let double = choose_visual(&configs, &[(4, 1), (5, 1), (12, 1)]).unwrap();
        let single = choose_visual(&configs, &[(4, 1), (12, 1)]).unwrap();
        assert!(double.double && double.visual == 33);
        assert!(!single.double && single.visual == 34);
    }

    #[test]
    fn who_looks_at_each_visual_meets_one_of_depth_24_first() {
        // As Xvnc lists them, but for the root's, which is last there.
        let visuals = [(33, 24), (34, 24), (35, 24), (36, 24), (80, 32)];
        let configs = of_screen(0, &visuals.map(|(id, depth)| Visual { id, depth }), 4);
        let listed = [34, 35, 36, 80, 33];
        let of = |visual| configs.iter().find(|config| config.visual == visual).unwrap();
        let fits = |config: &&Config| config.double && config.buffers == (24, 8) && config.samples == 0;
        assert_eq!(listed.map(of).into_iter().find(fits).unwrap().visual, 34);
        assert_eq!(choose_visual(&configs, &[(5, 1)]).unwrap().visual, 33);
    }

    #[test]
    fn what_is_more_than_there_is_is_not_chosen() {
        let configs = configs();
        assert!(choose(&configs, &[(12, 32)]).is_empty());
        assert!(choose(&configs, &[(100_001, 4)]).is_empty());
        assert!(choose(&configs, &[(0x7777, 1)]).is_empty());
        assert_eq!(choose(&configs, &[(12, 24), (13, 8), (5, 1), (0x8010, 1)]).len(), 2);
        assert_eq!(choose(&configs, &[(0x8013, 2)])[0].id, 2);
        assert_eq!(choose(&configs, &[]).len(), 12);
    }

    #[test]
    fn a_program_that_looks_for_no_stencil_finds_that() {
        let configs = configs();
        let none: Vec<_> = configs.iter().filter(|config| config.get(13) == Some(0)).collect();
        assert!(none.iter().any(|config| config.double && config.get(12) == Some(24)));
        // What is chosen by wishes comes with most first.
        assert_eq!(choose(&configs, &[(5, 1)])[0].get(13), Some(8));
    }

    #[test]
    fn a_server_with_one_visual_has_both_kinds_on_it() {
        let configs = of_screen(0, &[Visual { id: 7, depth: 24 }], 0);
        assert!(configs.iter().all(|config| config.visual == 7));
        assert!(choose_visual(&configs, &[(5, 1)]).unwrap().double);
        assert!(!choose_visual(&configs, &[]).unwrap().double);
    }
}
