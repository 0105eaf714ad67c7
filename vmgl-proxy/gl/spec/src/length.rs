//! How long an array is: the registry's `len`, and the rules for what it leaves open.

/// The number of an array's elements, as a function of other arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Len {
    /// So many.
    Fixed(u32),
    /// An argument times a constant.
    Times(String, u32),
    /// A function of `vmgl_gl_stream::size`, with the arguments that it takes.
    Function(&'static str, Vec<String>),
    /// As many as there are: only the sender knows.
    Free,
}

impl Len {
    /// What the registry writes; none where it only names what it depends on (`COMPSIZE`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(count) = text.parse() {
            return Some(Self::Fixed(count));
        }
        let (name, factor) = match text.split_once('*') {
            Some((name, factor)) => (name, factor.parse().ok()?),
            None => (text, 1),
        };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| Self::Times(name.to_owned(), factor))
    }

    /// The names of arguments that it needs.
    pub fn needs(&self) -> Vec<&str> {
        match self {
            Self::Fixed(_) | Self::Free => Vec::new(),
            Self::Times(name, _) => vec![name],
            Self::Function(_, names) => names.iter().map(String::as_str).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Len;

    #[test]
    fn the_registrys_lengths_are_read() {
        assert_eq!(Len::parse("16"), Some(Len::Fixed(16)));
        assert_eq!(Len::parse("count"), Some(Len::Times("count".to_owned(), 1)));
        assert_eq!(Len::parse("count*4"), Some(Len::Times("count".to_owned(), 4)));
        assert_eq!(Len::parse("COMPSIZE(pname)"), None);
        assert_eq!(Len::parse(""), None);
    }
}
