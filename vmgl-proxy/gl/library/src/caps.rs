//! What programs are told that OpenGL can here: what the renderer can and this library has, nothing else.

use std::ffi::CString;

use vmgl_gl_stream::Caps;

use crate::entries::COMPLETE;

/// The newest version all of whose commands are there.
const NEWEST: (u32, u32) = (2, 1);
/// The newest version for a context that asks for a profile by its version.
pub(crate) const NEWEST_ASKED: (u32, u32) = (3, 3);

/// Extensions without commands of their own that need nothing of this library but to let enums and shaders through.
const SILENT: &[&str] = &[
    "GL_ARB_depth_texture",
    "GL_ARB_explicit_attrib_location",
    "GL_ARB_fragment_coord_conventions",
    "GL_ARB_fragment_shader",
    "GL_ARB_half_float_pixel",
    "GL_ARB_half_float_vertex",
    "GL_ARB_pixel_buffer_object",
    "GL_ARB_point_sprite",
    "GL_ARB_seamless_cube_map",
    "GL_ARB_shader_bit_encoding",
    "GL_ARB_shader_texture_lod",
    "GL_ARB_shading_language_100",
    "GL_ARB_shadow",
    "GL_ARB_texture_border_clamp",
    "GL_ARB_texture_cube_map",
    "GL_ARB_texture_env_add",
    "GL_ARB_texture_env_combine",
    "GL_ARB_texture_env_crossbar",
    "GL_ARB_texture_env_dot3",
    "GL_ARB_texture_float",
    "GL_ARB_texture_mirrored_repeat",
    "GL_ARB_texture_non_power_of_two",
    "GL_ARB_texture_rectangle",
    "GL_ARB_texture_rg",
    "GL_ARB_texture_swizzle",
    "GL_EXT_abgr",
    "GL_EXT_bgra",
    "GL_EXT_blend_subtract",
    "GL_EXT_packed_depth_stencil",
    "GL_EXT_packed_pixels",
    "GL_EXT_rescale_normal",
    "GL_EXT_separate_specular_color",
    "GL_EXT_shadow_funcs",
    "GL_EXT_stencil_wrap",
    "GL_EXT_texture_compression_s3tc",
    "GL_EXT_texture_cube_map",
    "GL_EXT_texture_edge_clamp",
    "GL_EXT_texture_env_add",
    "GL_EXT_texture_env_combine",
    "GL_EXT_texture_env_dot3",
    "GL_EXT_texture_filter_anisotropic",
    "GL_EXT_texture_lod_bias",
    "GL_EXT_texture_sRGB",
    "GL_SGIS_generate_mipmap",
    "GL_SGIS_texture_edge_clamp",
    "GL_SGIS_texture_lod",
];

/// Those with commands that have been thought through; that they are complete is looked up in the registry.
const WITH_COMMANDS: &[&str] = &[
    "GL_ARB_copy_buffer",
    "GL_ARB_draw_buffers",
    "GL_ARB_draw_elements_base_vertex",
    "GL_ARB_draw_instanced",
    "GL_ARB_framebuffer_object",
    "GL_ARB_instanced_arrays",
    "GL_ARB_map_buffer_range",
    "GL_ARB_multisample",
    "GL_ARB_multitexture",
    "GL_ARB_occlusion_query",
    "GL_ARB_point_parameters",
    "GL_ARB_provoking_vertex",
    "GL_ARB_sampler_objects",
    "GL_ARB_sync",
    "GL_ARB_texture_compression",
    "GL_ARB_texture_storage",
    "GL_ARB_timer_query",
    "GL_ARB_transform_feedback2",
    "GL_ARB_transpose_matrix",
    "GL_ARB_uniform_buffer_object",
    "GL_ARB_vertex_array_object",
    "GL_ARB_vertex_buffer_object",
    "GL_ARB_vertex_shader",
    "GL_ARB_window_pos",
    "GL_EXT_blend_color",
    "GL_EXT_blend_equation_separate",
    "GL_EXT_blend_func_separate",
    "GL_EXT_blend_minmax",
    "GL_EXT_copy_texture",
    "GL_EXT_draw_range_elements",
    "GL_EXT_fog_coord",
    "GL_EXT_framebuffer_blit",
    "GL_EXT_framebuffer_multisample",
    "GL_EXT_framebuffer_object",
    "GL_EXT_multi_draw_arrays",
    "GL_EXT_point_parameters",
    "GL_EXT_secondary_color",
    "GL_EXT_subtexture",
    "GL_EXT_texture3D",
    "GL_EXT_texture_object",
];

const ES_EXTENSIONS: &[&str] = &[
    "GL_EXT_blend_minmax",
    "GL_EXT_map_buffer_range",
    "GL_OES_depth24",
    "GL_OES_depth_texture",
    "GL_OES_element_index_uint",
    "GL_OES_fbo_render_mipmap",
    "GL_OES_mapbuffer",
    "GL_OES_packed_depth_stencil",
    "GL_OES_rgb8_rgba8",
    "GL_OES_standard_derivatives",
    "GL_OES_texture_npot",
    "GL_OES_vertex_array_object",
];

const VENDOR: u32 = 0x1f00;
const RENDERER: u32 = 0x1f01;
const VERSION: u32 = 0x1f02;
const EXTENSIONS: u32 = 0x1f03;
const SHADING_LANGUAGE: u32 = 0x8b8c;

/// The strings of a context.
#[derive(Debug)]
pub(crate) struct Strings {
    pub(crate) version: (u32, u32),
    texts: Vec<(u32, CString)>,
    pub(crate) extensions: Vec<CString>,
}

fn text(of: String) -> CString {
    CString::new(of.replace('\0', "")).unwrap_or_default()
}

/// `4.5 (Compatibility Profile) Mesa 22` to its two numbers.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let start = version.find(|c: char| c.is_ascii_digit())?;
    let (major, rest) = version.get(start..)?.split_once('.')?;
    let minor = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl Strings {
    /// For a context that asked for this version; 0.0 is none.
    pub(crate) fn new(caps: &Caps, asked: (u32, u32)) -> Self {
        let told = |name: u32| caps.strings.get(&name).map(String::as_str).unwrap_or_default();
        let can = numbers(told(VERSION)).unwrap_or(NEWEST);
        // A context of a version up to the newest that is complete may be of any compatible one.
        let version = if asked > NEWEST { asked.min(NEWEST_ASKED).min(can) } else { NEWEST.min(can) };
        let (major, minor) = version;
        let language = match version {
            (3, 3) => "3.30",
            (3, 2) => "1.50",
            (3, 1) => "1.40",
            (3, 0) => "1.30",
            _ => "1.20",
        };
        let known =
            SILENT.iter().chain(WITH_COMMANDS.iter().filter(|name| COMPLETE.binary_search(name).is_ok()));
        let mut names: Vec<&str> =
            known.copied().filter(|name| caps.extensions.iter().any(|has| has == name)).collect();
        names.sort_unstable();
        let texts = vec![
            (VENDOR, text(format!("VMGL, {}", told(VENDOR)))),
            (RENDERER, text(format!("VMGL ({})", told(RENDERER)))),
            (VERSION, text(format!("{major}.{minor} VMGL {}", env!("CARGO_PKG_VERSION")))),
            (SHADING_LANGUAGE, text(language.to_owned())),
            (EXTENSIONS, text(names.join(" "))),
        ];
        let extensions = names.into_iter().map(|name| text(name.to_owned())).collect();
        Self { version, texts, extensions }
    }

    /// For a context of OpenGL ES of that major version: 1, 2 or 3.
    pub(crate) fn es(caps: &Caps, major: u32) -> Self {
        let mut strings = Self::new(caps, (0, 0));
        let told = |name: u32| caps.strings.get(&name).map(String::as_str).unwrap_or_default();
        let can = numbers(told(VERSION)).unwrap_or(NEWEST);
        let (version, language) = match major {
            1 => ("OpenGL ES-CM 1.1", ""),
            2 => ("OpenGL ES 2.0", "OpenGL ES GLSL ES 1.00"),
            _ => ("OpenGL ES 3.0", "OpenGL ES GLSL ES 3.00"),
        };
        strings.version = (major, u32::from(major == 1));
        // What ES 2 and 3 have as extensions every OpenGL from 3.0 on can do.
        let names: &[&str] = if major > 1 && can >= (3, 0) { ES_EXTENSIONS } else { &[] };
        let texts = [
            (VERSION, format!("{version} VMGL {}", env!("CARGO_PKG_VERSION"))),
            (SHADING_LANGUAGE, language.to_owned()),
            (EXTENSIONS, names.join(" ")),
        ];
        for (name, replaced) in texts {
            if let Some((_, place)) = strings.texts.iter_mut().find(|(is, _)| *is == name) {
                *place = text(replaced);
            }
        }
        strings.extensions = names.iter().map(|&name| text(name.to_owned())).collect();
        strings
    }

    /// Whether contexts of OpenGL ES of that version can be made.
    pub(crate) fn has_es(caps: &Caps, (major, minor): (u32, u32)) -> bool {
        match major {
            1 => minor <= 1,
            2 => minor == 0,
            // Whoever has OpenGL 3.3 has what of ES 3 is more.
            3 => minor == 0 && Self::can(caps, (3, 3)),
            _ => false,
        }
    }

    /// Whether the renderer's OpenGL is of that version at least.
    pub(crate) fn can(caps: &Caps, version: (u32, u32)) -> bool {
        caps.strings.get(&VERSION).and_then(|text| numbers(text)).unwrap_or(NEWEST) >= version
    }

    /// The text of that name.
    pub(crate) fn get(&self, name: u32) -> Option<&CString> {
        self.texts.iter().find(|(is, _)| *is == name).map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::Caps;

    use super::{EXTENSIONS, Strings, VERSION, WITH_COMMANDS, numbers};
    use crate::entries::COMPLETE;

    fn caps(extensions: &[&str]) -> Caps {
        let mut caps = Caps::default();
        caps.strings.insert(VERSION, "4.5 (Compatibility Profile) Mesa 22.3.6".to_owned());
        caps.extensions = extensions.iter().map(|&name| name.to_owned()).collect();
        caps
    }

    #[test]
    fn only_what_both_sides_have_is_advertised() {
        let strings = Strings::new(&caps(&["GL_ARB_multitexture", "GL_ARB_compute_shader"]), (0, 0));
        assert_eq!(strings.get(EXTENSIONS).unwrap().to_str().unwrap(), "GL_ARB_multitexture");
        assert_eq!(strings.version, (2, 1));
    }

    #[test]
    fn a_version_is_told_by_what_was_asked_and_what_is_there() {
        assert_eq!(Strings::new(&caps(&[]), (3, 2)).version, (3, 2));
        assert_eq!(Strings::new(&caps(&[]), (4, 6)).version, (3, 3));
        assert_eq!(numbers("OpenGL ES 3.2 Mesa"), Some((3, 2)));
    }

    #[test]
    fn a_context_of_es_says_so() {
        for (major, version) in [(1, "OpenGL ES-CM 1.1 "), (2, "OpenGL ES 2.0 "), (3, "OpenGL ES 3.0 ")] {
            let strings = Strings::es(&caps(&[]), major);
            assert!(strings.get(VERSION).unwrap().to_str().unwrap().starts_with(version));
            let extensions = strings.get(EXTENSIONS).unwrap().to_str().unwrap();
            assert_eq!(extensions.contains("GL_OES_depth24"), major > 1);
        }
        assert!(Strings::has_es(&caps(&[]), (3, 0)) && !Strings::has_es(&caps(&[]), (3, 1)));
    }

    #[test]
    fn every_extension_that_is_advertised_has_all_its_commands() {
        for name in WITH_COMMANDS {
            assert!(COMPLETE.binary_search(name).is_ok(), "{name}");
        }
    }
}
