//! The two directions along the ring.

/// A direction along the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Towards greater positions, and over the top to 0.
    Up,
    /// Towards smaller ones.
    Down,
}

impl Way {
    /// Both.
    pub const BOTH: [Way; 2] = [Way::Up, Way::Down];

    /// Whether it is upwards: how messages say it.
    pub const fn is_up(self) -> bool {
        matches!(self, Way::Up)
    }

    /// The direction that messages name so.
    pub const fn from_up(up: bool) -> Self {
        if up { Way::Up } else { Way::Down }
    }
}

/// Something for each direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Both<T> {
    up: T,
    down: T,
}

impl<T> std::ops::Index<Way> for Both<T> {
    type Output = T;
    fn index(&self, way: Way) -> &T {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

impl<T> std::ops::IndexMut<Way> for Both<T> {
    fn index_mut(&mut self, way: Way) -> &mut T {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}
