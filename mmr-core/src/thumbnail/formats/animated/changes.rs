//! What changes from one frame of a thumbnail to the next: only that is encoded.

use super::PIXEL_BYTES;
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Pixels to put on the frame before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::thumbnail::formats) struct Patch {
    pub(in crate::thumbnail::formats) rect: Rect,
    /// RGBA, row by row, of the rectangle.
    pub(in crate::thumbnail::formats) rgba: Vec<u8>,
    /// Whether transparent pixels leave what is there, or replace it like all others.
    pub(in crate::thumbnail::formats) over: bool,
    /// How long the frame is shown, in milliseconds.
    pub(in crate::thumbnail::formats) delay: u32,
}

/// How a format wants its patches.
#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct OutputForm {
    /// Left and top are multiples of this.
    pub(in crate::thumbnail::formats) grid: u32,
    /// Whether unchanged pixels inside the rectangle had better be transparent.
    pub(in crate::thumbnail::formats) over: bool,
    /// The longest delay of a frame.
    pub(in crate::thumbnail::formats) longest_delay: u32,
    pub(in crate::thumbnail::formats) content_type: &'static str,
}

/// A file that an animation is written into. Nothing is ever disposed of: each patch lies on what is there.
pub(in crate::thumbnail::formats) trait Output {
    fn form(&self) -> OutputForm;

    /// Writes the next patch. The first covers everything.
    fn add(&mut self, patch: &Patch) -> Result<(), RenderError>;

    /// Bytes written until now.
    fn bytes(&self) -> u64;

    /// The whole file.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, RenderError>;
}

/// Finds the changes and writes them. A frame like the one before only makes that last longer.
pub(super) struct Changes {
    output: Box<dyn Output>,
    size: Size,
    /// The frame last added.
    shown: Vec<u8>,
    /// What it changed, not written as long as it may last longer.
    pending: Option<Patch>,
    written: u64,
}

impl Changes {
    pub(super) fn new(output: Box<dyn Output>, size: Size) -> Self {
        Self { output, size, shown: Vec::new(), pending: None, written: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.output.bytes()
    }

    /// Adds the next frame, all of it.
    pub(super) fn add(&mut self, rgba: Vec<u8>, delay: u32) -> Result<(), RenderError> {
        let form = self.output.form();
        let delay = delay.min(form.longest_delay);
        let patch = match self.pending.as_mut() {
            None => Patch { rect: whole(self.size), rgba: rgba.clone(), over: false, delay },
            Some(pending) => match difference(&self.shown, &rgba, self.size, form) {
                Some((rect, rgba, over)) => Patch { rect, rgba, over, delay },
                None if pending.delay.saturating_add(delay) <= form.longest_delay => {
                    pending.delay += delay;
                    return Ok(());
                }
                None => unchanged(&rgba, delay),
            },
        };
        self.shown = rgba;
        self.write_pending()?;
        self.pending = Some(patch);
        Ok(())
    }

    /// The file and its type; `None` when nothing ever changed.
    pub(super) fn finish(mut self) -> Result<Option<(Vec<u8>, &'static str)>, RenderError> {
        self.write_pending()?;
        if self.written < 2 {
            return Ok(None);
        }
        let content_type = self.output.form().content_type;
        Ok(Some((self.output.finish()?, content_type)))
    }

    fn write_pending(&mut self) -> Result<(), RenderError> {
        if let Some(patch) = self.pending.take() {
            self.output.add(&patch)?;
            self.written += 1;
        }
        Ok(())
    }
}

const fn whole(size: Size) -> Rect {
    Rect { left: 0, top: 0, size }
}

/// The smallest patch: the first pixel as it is.
fn unchanged(rgba: &[u8], delay: u32) -> Patch {
    let pixel = rgba.get(..PIXEL_BYTES).unwrap_or_default().to_vec();
    Patch { rect: whole(Size::new(1, 1)), rgba: pixel, over: false, delay }
}

/// What has to be put on `before` to get `after`, both of `size`.
fn difference(before: &[u8], after: &[u8], size: Size, form: OutputForm) -> Option<(Rect, Vec<u8>, bool)> {
    let rect = changed_rect(before, after, size, form.grid)?;
    let mut rgba = Vec::with_capacity(rect.size.width as usize * rect.size.height as usize * PIXEL_BYTES);
    for row in rows(after, rect, size) {
        rgba.extend_from_slice(row);
    }
    let over = form.over && leave_unchanged(before, &mut rgba, rect, size);
    Some((rect, rgba, over))
}

/// The smallest rectangle with everything that differs, its corner on the grid.
fn changed_rect(before: &[u8], after: &[u8], size: Size, grid: u32) -> Option<Rect> {
    let row_bytes = size.width as usize * PIXEL_BYTES;
    let (mut top, mut bottom) = (None, 0);
    let (mut left, mut right) = (usize::MAX, 0);
    for (y, (old, new)) in before.chunks_exact(row_bytes).zip(after.chunks_exact(row_bytes)).enumerate() {
        if old == new {
            continue;
        }
        top = top.or(Some(y));
        bottom = y;
        let differs = |(old, new): (&[u8], &[u8])| old != new;
        let pixels = || old.chunks_exact(PIXEL_BYTES).zip(new.chunks_exact(PIXEL_BYTES));
        left = pixels().position(differs).unwrap_or(left).min(left);
        right = pixels().rposition(differs).unwrap_or(right).max(right);
    }
    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let (top, bottom, left, right) = (number(top?), number(bottom), number(left), number(right));
    let (left, top) = (left - left % grid, top - top % grid);
    Some(Rect { left, top, size: Size::new(right - left + 1, bottom - top + 1) })
}

/// The rows of `rect` in a picture of `size`.
fn rows(rgba: &[u8], rect: Rect, size: Size) -> impl Iterator<Item = &[u8]> {
    let (start, len) = (rect.left as usize * PIXEL_BYTES, rect.size.width as usize * PIXEL_BYTES);
    rgba.chunks_exact(size.width as usize * PIXEL_BYTES)
        .skip(rect.top as usize)
        .take(rect.size.height as usize)
        .map(move |row| row.get(start..start + len).unwrap_or_default())
}

/// Makes unchanged pixels of a patch transparent, which compresses better. Only where every changed one is opaque: others
/// cannot replace what lies below them.
fn leave_unchanged(before: &[u8], patch: &mut [u8], rect: Rect, size: Size) -> bool {
    let row_bytes = rect.size.width as usize * PIXEL_BYTES;
    let replaces = rows(before, rect, size).zip(patch.chunks_exact(row_bytes)).all(|(old, new)| {
        let mut pixels = old.chunks_exact(PIXEL_BYTES).zip(new.chunks_exact(PIXEL_BYTES));
        pixels.all(|(old, new)| old == new || new.last() == Some(&u8::MAX))
    });
    if replaces {
        for (old, new) in rows(before, rect, size).zip(patch.chunks_exact_mut(row_bytes)) {
            let pixels = old.chunks_exact(PIXEL_BYTES).zip(new.chunks_exact_mut(PIXEL_BYTES));
            pixels.filter(|(old, new)| old == new).for_each(|(_, new)| new.fill(0));
        }
    }
    replaces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Draws patches as a browser would.
    fn put(on: &mut [u8], (rect, rgba, over): &(Rect, Vec<u8>, bool), size: Size) {
        let width = rect.size.width as usize;
        for (index, pixel) in rgba.chunks_exact(PIXEL_BYTES).enumerate() {
            let (x, y) = (rect.left as usize + index % width, rect.top as usize + index / width);
            let at = (y * size.width as usize + x) * PIXEL_BYTES;
            if !over || pixel[3] == 255 {
                on[at..at + PIXEL_BYTES].copy_from_slice(pixel);
            } else {
                assert_eq!(pixel[3], 0, "what is half transparent cannot be put over");
            }
        }
    }

    fn form(grid: u32, over: bool) -> OutputForm {
        OutputForm { grid, over, longest_delay: 1000, content_type: "image/apng" }
    }

    /// Few colours, so that much stays the same.
    fn picture(pixels: usize) -> impl Strategy<Value = Vec<u8>> {
        let pixel = prop_oneof![
            4 => Just([9, 9, 9, 255]),
            1 => Just([0, 0, 0, 0]),
            1 => Just([200, 1, 1, 255]),
            1 => Just([200, 1, 1, 90])
        ];
        proptest::collection::vec(pixel, pixels).prop_map(|pixels| pixels.concat())
    }

    fn two_pictures() -> impl Strategy<Value = (Size, Vec<u8>, Vec<u8>)> {
        (1_u32..9, 1_u32..9).prop_flat_map(|(width, height)| {
            let pixels = (width * height) as usize;
            (Just(Size::new(width, height)), picture(pixels), picture(pixels))
        })
    }

    proptest! {
        #[test]
        fn a_difference_put_on_the_frame_before_gives_the_frame_after(
            (size, before, after) in two_pictures(), grid in 1_u32..=2, over: bool,
        ) {
            let mut shown = before.clone();
            if let Some(patch) = difference(&before, &after, size, form(grid, over)) {
                let rect = patch.0;
                prop_assert_eq!((rect.left % grid, rect.top % grid), (0, 0));
                prop_assert!(rect.left + rect.size.width <= size.width);
                prop_assert!(rect.top + rect.size.height <= size.height);
                prop_assert!(!patch.2 || over);
                put(&mut shown, &patch, size);
            }
            prop_assert_eq!(shown, after);
        }
    }

    #[test]
    fn the_rectangle_is_no_larger_than_what_changed() {
        let size = Size::new(10, 8);
        let before = vec![0; 10 * 8 * 4];
        let mut after = before.clone();
        for (x, y) in [(3, 2), (6, 5)] {
            after[(y * 10 + x) * 4] = 1;
        }
        let rect = |grid| changed_rect(&before, &after, size, grid).unwrap();
        assert_eq!(rect(1), Rect { left: 3, top: 2, size: Size::new(4, 4) });
        assert_eq!(rect(2), Rect { left: 2, top: 2, size: Size::new(5, 4) });
        assert_eq!(changed_rect(&before, &before, size, 1), None);
    }

    /// Writes down what it gets.
    struct Notes(std::rc::Rc<std::cell::RefCell<Vec<Patch>>>);

    impl Output for Notes {
        fn form(&self) -> OutputForm {
            form(1, false)
        }

        fn add(&mut self, patch: &Patch) -> Result<(), RenderError> {
            self.0.borrow_mut().push(patch.clone());
            Ok(())
        }

        fn bytes(&self) -> u64 {
            0
        }

        fn finish(self: Box<Self>) -> Result<Vec<u8>, RenderError> {
            Ok(Vec::new())
        }
    }

    fn delays_written(frames: &[(u8, u32)]) -> (Vec<u32>, bool) {
        let notes = std::rc::Rc::default();
        let mut changes = Changes::new(Box::new(Notes(std::rc::Rc::clone(&notes))), Size::new(2, 1));
        for &(color, delay) in frames {
            changes.add(vec![color; 8], delay).unwrap();
        }
        let moves = changes.finish().unwrap().is_some();
        (notes.borrow().iter().map(|patch| patch.delay).collect(), moves)
    }

    #[test]
    fn a_frame_like_the_one_before_makes_that_last_longer() {
        assert_eq!(
            delays_written(&[(1, 100), (1, 50), (2, 30), (2, 30), (1, 70)]),
            (vec![150, 60, 70], true)
        );
    }

    #[test]
    fn a_delay_that_the_format_cannot_hold_is_split() {
        assert_eq!(delays_written(&[(1, 900), (1, 900), (2, 5000)]), (vec![900, 900, 1000], true));
    }

    #[test]
    fn frames_that_are_all_the_same_are_no_animation() {
        assert_eq!(delays_written(&[(1, 100), (1, 100)]), (vec![200], false));
        assert_eq!(delays_written(&[]), (vec![], false));
    }
}
