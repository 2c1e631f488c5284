//! Where the cursor stands in a list: on a key, not on a number, so that it survives rows that move, come and go.

use crate::action::Motion;

/// A cursor over rows that have keys.
#[derive(Debug, Clone)]
pub struct Cursor<K> {
    /// What it is on.
    key: Option<K>,
    at: usize,
    /// The first row in sight.
    offset: usize,
    height: usize,
    len: usize,
    /// Nobody has moved it yet: it stays at the top while rows arrive.
    idle: bool,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Cursor { key: None, at: 0, offset: 0, height: 1, len: 0, idle: true }
    }
}

/// Rows that a cursor can stand on.
pub trait Keyed<K> {
    /// How many rows there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The key of a row; asked only below [`Keyed::len`].
    fn key(&self, idx: usize) -> K;
    /// Where that key stands now.
    fn position(&self, key: &K) -> Option<usize>;
}

impl<K: Clone + PartialEq> Keyed<K> for [K] {
    fn len(&self) -> usize {
        <[K]>::len(self)
    }

    fn key(&self, idx: usize) -> K {
        self[idx].clone()
    }

    fn position(&self, key: &K) -> Option<usize> {
        self.iter().position(|row| row == key)
    }
}

impl<K: Clone> Cursor<K> {
    /// Takes in rows that may have moved: stays on its key, or where it was if that is gone.
    pub fn settle<R: Keyed<K> + ?Sized>(&mut self, rows: &R, height: u16) {
        self.height = usize::from(height).max(1);
        self.len = rows.len();
        let followed = self.key.as_ref().filter(|_| !self.idle).and_then(|key| rows.position(key));
        let fallback = if self.idle { 0 } else { self.at };
        self.put(rows, followed.unwrap_or(fallback));
    }

    /// What it is on; none if there are no rows.
    pub fn selected(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// The number of its row.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Moves it.
    pub fn motion<R: Keyed<K> + ?Sized>(&mut self, rows: &R, motion: Motion) {
        let page = self.height.saturating_sub(1).max(1);
        let half = self.height.div_ceil(2);
        let target = match motion {
            Motion::Up => self.at.saturating_sub(1),
            Motion::Down => self.at + 1,
            Motion::PageUp => self.at.saturating_sub(page),
            Motion::PageDown => self.at + page,
            Motion::HalfUp => self.at.saturating_sub(half),
            Motion::HalfDown => self.at + half,
            Motion::Top => 0,
            Motion::Bottom => usize::MAX,
        };
        self.idle = false;
        self.len = rows.len();
        self.put(rows, target);
    }

    /// Puts it on that key, at once if a row has it.
    pub fn select<R: Keyed<K> + ?Sized>(&mut self, rows: &R, key: K) {
        self.idle = false;
        let at = rows.position(&key).unwrap_or(self.at);
        self.key = Some(key);
        self.put(rows, at);
    }

    fn put<R: Keyed<K> + ?Sized>(&mut self, rows: &R, target: usize) {
        let Some(last) = rows.len().checked_sub(1) else {
            (self.key, self.at, self.offset) = (None, 0, 0);
            return;
        };
        self.at = target.min(last);
        self.key = Some(rows.key(self.at));
        let lowest = (self.at + 1).saturating_sub(self.height);
        self.offset = self.offset.clamp(lowest, self.at.max(lowest)).min((last + 1).saturating_sub(self.height));
    }

    /// The rows in sight, as numbers.
    pub fn window(&self) -> std::ops::Range<usize> {
        self.offset.min(self.len)..(self.offset + self.height).min(self.len)
    }

    /// What is in sight of how much: `12-40/2000`.
    pub fn position(&self) -> String {
        let window = self.window();
        if self.len == 0 { "0/0".into() } else { format!("{}-{}/{}", window.start + 1, window.end, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(rows: &[u8], height: u16, motions: &[Motion]) -> Cursor<u8> {
        let mut cursor = Cursor::default();
        cursor.settle(rows, height);
        for motion in motions {
            cursor.motion(rows, *motion);
        }
        cursor
    }

    #[test]
    fn it_stays_at_the_top_while_rows_arrive_until_it_is_moved() {
        let mut cursor = cursor(&[5, 6], 2, &[]);
        cursor.settle(&[1, 5, 6][..], 2);
        assert_eq!(cursor.selected(), Some(&1));
        cursor.motion(&[1, 5, 6][..], Motion::Down);
        cursor.settle(&[0, 1, 5, 6][..], 2);
        assert_eq!((cursor.selected(), cursor.at()), (Some(&5), 2));
    }

    #[test]
    fn it_follows_its_row_through_a_sort_and_stays_in_place_when_the_row_goes() {
        let mut cursor = cursor(&[1, 2, 3], 3, &[Motion::Down]);
        cursor.settle(&[3, 1, 2][..], 3);
        assert_eq!(cursor.at(), 2);
        cursor.settle(&[3, 1][..], 3);
        assert_eq!(cursor.selected(), Some(&1));
        cursor.settle(&[][..], 3);
        assert_eq!((cursor.selected(), cursor.position().as_str()), (None, "0/0"));
    }

    #[test]
    fn it_keeps_itself_in_sight() {
        let rows: Vec<u8> = (0..100).collect();
        let mut cursor = cursor(&rows, 10, &[Motion::Bottom]);
        assert_eq!((cursor.window(), cursor.position().as_str()), (90..100, "91-100/100"));
        cursor.motion(&rows[..], Motion::PageUp);
        assert_eq!((cursor.at(), cursor.window()), (90, 90..100));
        cursor.motion(&rows[..], Motion::Up);
        assert_eq!(cursor.window(), 89..99);
        cursor.settle(&rows[..], 40);
        assert_eq!(cursor.window(), 60..100);
        cursor.settle(&rows[..], 1);
        assert_eq!(cursor.window(), 89..90);
    }
}
