//! What the test stream shows.

use super::font::{glyph, pen};
use super::picture::{Colour, Mask, Picture};

/// Size of the picture in pixels.
pub(super) const WIDTH: usize = 640;
/// Visible lines.
pub(super) const HEIGHT: usize = 360;

/// Colour bars: eight of 80 pixels, down to here.
const BARS_HEIGHT: usize = 192;
/// Below them a ramp of greys.
const RAMP_HEIGHT: usize = 16;

/// The dial in the middle of the bars: one turn a second.
const DIAL_CENTRE: (usize, usize) = (320, 96);
const DIAL_RADIUS: f32 = 80.0;

/// The running time.
const CLOCK_AT: (usize, usize) = (32, 228);
const CLOCK_HEIGHT: usize = 64;
const CLOCK_WEIGHT: f32 = 8.0;
/// Advance of digits and of what separates them.
const CLOCK_ADVANCE: (usize, usize) = (52, 26);

/// Title and frame number.
const LABEL_Y: usize = 318;
const LABEL_HEIGHT: usize = 18;
const LABEL_WEIGHT: f32 = 2.6;
const LABEL_ADVANCE: usize = 18;
/// Digits of the frame number: three years at 10 frames a second, and it starts over.
const FRAME_DIGITS: usize = 8;

/// Characters of a title that fit beside the frame number.
const TITLE_MAX: usize = 17;

/// Draws the card at any frame.
#[derive(Debug)]
pub(super) struct Card {
    fps: u32,
    /// Everything that never changes.
    background: Picture,
    clock_glyphs: Vec<Mask>,
    clock_separators: [Mask; 2],
    label_digits: Vec<Mask>,
    /// The dial's hand at each frame of a second.
    hands: Vec<Mask>,
    white: Colour,
    amber: Colour,
}

impl Card {
    pub(super) fn new(title: &str, fps: u32) -> Self {
        let white = Colour::rgb(235, 238, 242);
        let panel = Colour::rgb(20, 24, 32);
        let mut background = Picture::new(WIDTH, HEIGHT, panel);

        // EBU bars, 75 % (ITU-R BT.471).
        let bars: [[u8; 3]; 8] = [
            [1, 1, 1],
            [1, 1, 0],
            [0, 1, 1],
            [0, 1, 0],
            [1, 0, 1],
            [1, 0, 0],
            [0, 0, 1],
            [0, 0, 0],
        ];
        for (i, bar) in bars.into_iter().enumerate() {
            let [r, g, b] = bar.map(|component| component * 191);
            background.fill(i * WIDTH / 8, 0, WIDTH / 8, BARS_HEIGHT, Colour::rgb(r, g, b));
        }
        for i in 0..WIDTH / 16 {
            let grey = (i * 255 / (WIDTH / 16 - 1)) as u8;
            background.fill(
                16 * i,
                BARS_HEIGHT,
                16,
                RAMP_HEIGHT,
                Colour::rgb(grey, grey, grey),
            );
        }
        dial(&mut background, white, panel);

        let label = |character| glyph(character, LABEL_HEIGHT, LABEL_WEIGHT);
        let muted = Colour::rgb(150, 160, 175);
        for (i, character) in title.chars().take(TITLE_MAX).enumerate() {
            background.paint(&label(character), CLOCK_AT.0 + i * LABEL_ADVANCE, LABEL_Y, muted);
        }
        for (i, character) in "FRAME".chars().enumerate() {
            let x = WIDTH - 32 - (FRAME_DIGITS + 6) * LABEL_ADVANCE + i * LABEL_ADVANCE;
            background.paint(&label(character), x, LABEL_Y, muted);
        }

        let digits = |height, weight| ('0'..='9').map(|digit| glyph(digit, height, weight)).collect();
        Card {
            fps,
            background,
            clock_glyphs: digits(CLOCK_HEIGHT, CLOCK_WEIGHT),
            clock_separators: [':', '.'].map(|separator| glyph(separator, CLOCK_HEIGHT, CLOCK_WEIGHT)),
            label_digits: digits(LABEL_HEIGHT, LABEL_WEIGHT),
            hands: (0..fps).map(|frame| hand(frame, fps)).collect(),
            white,
            amber: Colour::rgb(255, 176, 32),
        }
    }

    /// A picture of the right size to draw on.
    pub(super) fn blank(&self) -> Picture {
        self.background.clone()
    }

    /// Draws the frame of this number.
    pub(super) fn draw(&self, frame: u64, picture: &mut Picture) {
        picture.clone_from(&self.background);
        let hand = &self.hands[(frame % u64::from(self.fps)) as usize];
        let corner = |centre: usize| centre - DIAL_RADIUS as usize;
        picture.paint(hand, corner(DIAL_CENTRE.0), corner(DIAL_CENTRE.1), self.amber);

        let millis = frame * 1000 / u64::from(self.fps);
        let (hours, minutes) = (millis / 3_600_000 % 100, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        let mut x = CLOCK_AT.0;
        for character in format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}").bytes() {
            let [colon, point] = &self.clock_separators;
            let (digit, separator) = CLOCK_ADVANCE;
            let (mask, advance) = match character {
                b':' => (colon, separator),
                b'.' => (point, separator),
                digit_character => (&self.clock_glyphs[usize::from(digit_character - b'0')], digit),
            };
            // A separator's dots are in the middle of a digit's width, and belong in the middle between two digits.
            let gap = digit.saturating_sub(mask.width());
            let inset = (mask.width().saturating_sub(advance.saturating_sub(gap)) / 2) & !1;
            let inset = if advance == digit { 0 } else { inset };
            picture.paint(mask, x - inset, CLOCK_AT.1, self.white);
            x += advance;
        }

        let mut number = frame;
        for i in 1..=FRAME_DIGITS {
            let x = WIDTH - 32 - i * LABEL_ADVANCE;
            picture.paint(&self.label_digits[(number % 10) as usize], x, LABEL_Y, self.amber);
            number /= 10;
        }
    }
}

/// The hand of the dial: straight up at every full second.
fn hand(frame: u32, fps: u32) -> Mask {
    let turn = f64::from(frame) / f64::from(fps) * std::f64::consts::TAU;
    // Rounded, so that the last bit of a platform's sine cannot show.
    let direction = [turn.sin(), -turn.cos()].map(|part| ((part * 4096.0).round() / 4096.0) as f32);
    let at = |radius: f32| {
        (
            DIAL_RADIUS + radius * direction[0],
            DIAL_RADIUS + radius * direction[1],
        )
    };
    let line = [[at(-14.0), at(DIAL_RADIUS - 20.0)]];
    let side = 2 * DIAL_RADIUS as usize;
    Mask::new(side, side, |x, y| pen(&line, 3.0, x, y))
}

/// The face of the dial.
fn dial(picture: &mut Picture, ring: Colour, face: Colour) {
    let side = 2 * DIAL_RADIUS as usize;
    let distance = |x: f32, y: f32| {
        let (dx, dy) = (x - DIAL_RADIUS, y - DIAL_RADIUS);
        (dx * dx + dy * dy).sqrt()
    };
    let disc = |radius: f32| Mask::new(side, side, |x, y| radius + 0.5 - distance(x, y));
    let (x, y) = (DIAL_CENTRE.0 - side / 2, DIAL_CENTRE.1 - side / 2);
    picture.paint(&disc(DIAL_RADIUS - 0.5), x, y, ring);
    picture.paint(&disc(DIAL_RADIUS - 4.5), x, y, face);
    let mut ticks = Vec::new();
    for tick in 0..12 {
        let turn = f64::from(tick) / 12.0 * std::f64::consts::TAU;
        let at = |radius: f64| {
            let part = |part: f64| DIAL_RADIUS + ((part * radius * 64.0).round() / 64.0) as f32;
            (part(turn.sin()), part(-turn.cos()))
        };
        let long = if tick % 3 == 0 { 58.0 } else { 64.0 };
        ticks.push([at(long), at(69.0)]);
    }
    picture.paint(&Mask::new(side, side, |x, y| pen(&ticks, 1.5, x, y)), x, y, ring);
}
