//! Names of objects, allocated here so that nobody waits for them.

use std::collections::HashSet;

/// The names of one class in a share group.
#[derive(Debug, Default)]
pub(crate) struct Names {
    last: u32,
    used: HashSet<u32>,
}

impl Names {
    /// So many names that nobody uses.
    pub(crate) fn generate(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.range(1)).collect()
    }

    /// The first of so many names in a row that nobody uses; 0 if there are none.
    pub(crate) fn range(&mut self, count: u32) -> u32 {
        let mut first = self.last.wrapping_add(1).max(1);
        let mut tried = 0;
        let mut name = first;
        loop {
            if tried == count {
                self.last = name.wrapping_sub(1);
                self.used.extend(first..name);
                return first;
            }
            if name == u32::MAX {
                return 0;
            }
            if self.used.contains(&name) {
                first = name + 1;
                tried = 0;
            } else {
                tried += 1;
            }
            name += 1;
        }
    }

    /// A program uses a name of its own choice.
    pub(crate) fn take(&mut self, name: u32) {
        if name != 0 {
            self.used.insert(name);
        }
    }

    /// A name is free again. It is given out again only after all others: a late mistake is then no other object.
    pub(crate) fn free(&mut self, name: u32) {
        self.used.remove(&name);
    }

    /// Whether the name was generated or chosen.
    pub(crate) fn has(&self, name: u32) -> bool {
        self.used.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_that_a_program_chose_are_not_given_out() {
        let mut names = Names::default();
        names.take(2);
        assert_eq!(names.generate(3), [1, 3, 4]);
        names.free(3);
        assert!(!names.has(3) && names.has(2));
        assert_eq!(names.generate(1), [5]);
    }

    #[test]
    fn names_in_a_row_leave_out_what_is_taken() {
        let mut names = Names::default();
        names.take(3);
        assert_eq!(names.range(3), 4);
        assert_eq!(names.range(1), 7);
    }
}
