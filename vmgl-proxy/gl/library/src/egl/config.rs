//! What EGL calls the attributes of a configuration, and which a program's wishes allow.

use crate::glx::config::Config;

const DONT_CARE: i32 = -1;
const NONE: i32 = 0x3038;
/// OpenGL, and OpenGL ES 1, 2 and 3.
const APIS: i32 = 0b100_1101;

/// An attribute; none if EGL has no such.
pub(super) fn get(config: &Config, attribute: i32) -> Option<i32> {
    Some(match attribute {
        0x3020 => 32,
        0x3021..=0x3024 => 8,
        0x3025 => config.buffers.0,
        0x3026 => config.buffers.1,
        0x3031 => config.samples.into(),
        0x3032 => i32::from(config.samples > 0),
        // Caveat and transparency: none; its values, level, binding to textures, luminance, masks: nought.
        0x3027 | 0x3034 => NONE,
        0x3029 | 0x3035..=0x3037 | 0x3039 | 0x303a | 0x303d | 0x303e => 0,
        0x3028 => config.id,
        0x302a | 0x302c => 16_384,
        0x302b => 16_384 * 16_384,
        0x302d => 1,
        0x302e => config.visual.cast_signed(),
        // TrueColor, as X has it.
        0x302f => 4,
        // Windows and pbuffers.
        0x3033 => 0b101,
        0x303b => 0,
        0x303c => 10,
        0x303f => 0x308e,
        0x3040 | 0x3042 => APIS,
        _ => return None,
    })
}

fn fulfils(config: &Config, attribute: i32, wanted: i32) -> bool {
    // A pixmap to be like: none can be drawn on anyhow.
    if wanted == DONT_CARE || attribute == 0x3041 {
        return true;
    }
    let Some(is) = get(config, attribute) else { return false };
    match attribute {
        0x3020..=0x3026 | 0x3031 | 0x3032 | 0x303d | 0x303e => is >= wanted,
        0x3033 | 0x3040 | 0x3042 => is & wanted == wanted,
        0x302a..=0x302c | 0x302e | 0x3035..=0x3037 => true,
        _ => is == wanted,
    }
}

/// The configurations that fulfil the wishes, those with least of depth and stencil first, as EGL orders them.
pub(super) fn choose<'c>(configs: &'c [Config], wishes: &[(i32, i32)]) -> Vec<&'c Config> {
    let all = |config: &&Config| {
        config.double && wishes.iter().all(|(attribute, wanted)| fulfils(config, *attribute, *wanted))
    };
    let mut chosen: Vec<_> = configs.iter().filter(all).collect();
    chosen.sort_by_key(|config| (config.depth, config.samples, config.buffers));
    chosen
}

#[cfg(test)]
mod tests {
    use super::{choose, get};
    use crate::glx::config::{Visual, of_screen};

    #[test]
    fn a_program_gets_at_least_the_bits_it_wants_and_the_smallest_such_first() {
        let configs = of_screen(0, &[Visual { id: 33, depth: 24 }, Visual { id: 80, depth: 32 }], 0);
        // DEPTH_SIZE 1, RENDERABLE_TYPE ES2, SURFACE_TYPE window.
        let chosen = choose(&configs, &[(0x3025, 1), (0x3040, 4), (0x3033, 4)]);
        let first: Vec<_> = chosen.iter().map(|config| (get(config, 0x3025), get(config, 0x3026))).collect();
        assert_eq!(first[..2], [(Some(24), Some(0)), (Some(24), Some(8))]);
        assert!(chosen.iter().all(|config| config.double));
        assert!(choose(&configs, &[(0x3031, 4)]).is_empty());
        // Each version of OpenGL ES is there; OpenVG and pixmaps are not.
        assert!([1, 4, 0x40].into_iter().all(|api| !choose(&configs, &[(0x3040, api)]).is_empty()));
        assert!(choose(&configs, &[(0x3040, 2)]).is_empty());
        assert!(choose(&configs, &[(0x3033, 2)]).is_empty());
    }
}
