//! Letters and digits as pen strokes, so that they are smooth at any size.

use super::picture::Mask;

/// Strokes move on a grid of 12 columns and 20 rows.
const GRID: (f32, f32) = (12.0, 20.0);

/// `M x y` lifts the pen and puts it down, `L x y` draws a line, `Q x y x y` a quadratic curve.
fn strokes(character: char) -> &'static str {
    match character.to_ascii_uppercase() {
        '0' | 'O' => "M 6 0 Q 12 0 12 6 L 12 14 Q 12 20 6 20 Q 0 20 0 14 L 0 6 Q 0 0 6 0",
        '1' => "M 2 4 L 7 0 L 7 20",
        '2' => "M 0 6 Q 0 0 6 0 Q 12 0 12 6 Q 12 9 8 12 L 0 20 L 12 20",
        '3' => "M 0 3 Q 2 0 6 0 Q 11 0 11 5 Q 11 9 5 9 L 6 9 Q 12 9 12 15 Q 12 20 6 20 Q 1 20 0 16",
        '4' => "M 9 20 L 9 0 L 0 14 L 12 14",
        '5' => "M 11 0 L 2 0 L 1 9 Q 3 7 6 7 Q 12 7 12 13 Q 12 20 6 20 Q 1 20 0 17",
        '6' => "M 11 3 Q 9 0 6 0 Q 0 0 0 8 L 0 14 Q 0 20 6 20 Q 12 20 12 14 Q 12 8 6 8 Q 1 8 0 13",
        '7' => "M 0 0 L 12 0 L 4 20",
        '8' => {
            "M 6 0 Q 11 0 11 5 Q 11 9 6 9 Q 1 9 1 5 Q 1 0 6 0 M 6 9 Q 12 9 12 15 Q 12 20 6 20 Q 0 20 0 15 Q 0 9 6 9"
        }
        '9' => "M 1 17 Q 3 20 6 20 Q 12 20 12 12 L 12 6 Q 12 0 6 0 Q 0 0 0 6 Q 0 12 6 12 Q 11 12 12 7",
        'A' => "M 0 20 L 6 0 L 12 20 M 2 13 L 10 13",
        'B' => "M 6 10 L 0 10 L 0 0 L 6 0 Q 11 0 11 5 Q 11 10 6 10 Q 12 10 12 15 Q 12 20 6 20 L 0 20 L 0 10",
        'C' => "M 12 4 Q 10 0 6 0 Q 0 0 0 6 L 0 14 Q 0 20 6 20 Q 10 20 12 16",
        'D' => "M 0 0 L 0 20 L 5 20 Q 12 20 12 13 L 12 7 Q 12 0 5 0 L 0 0",
        'E' => "M 12 0 L 0 0 L 0 20 L 12 20 M 0 10 L 9 10",
        'F' => "M 12 0 L 0 0 L 0 20 M 0 10 L 9 10",
        'G' => "M 12 4 Q 10 0 6 0 Q 0 0 0 6 L 0 14 Q 0 20 6 20 Q 12 20 12 14 L 12 11 L 7 11",
        'H' => "M 0 0 L 0 20 M 12 0 L 12 20 M 0 10 L 12 10",
        'I' => "M 6 0 L 6 20",
        'J' => "M 10 0 L 10 14 Q 10 20 5 20 Q 0 20 0 15",
        'K' => "M 0 0 L 0 20 M 11 0 L 0 12 M 4 8 L 12 20",
        'L' => "M 0 0 L 0 20 L 11 20",
        'M' => "M 0 20 L 0 0 L 6 11 L 12 0 L 12 20",
        'N' => "M 0 20 L 0 0 L 12 20 L 12 0",
        'P' => "M 0 20 L 0 0 L 6 0 Q 12 0 12 6 Q 12 11 6 11 L 0 11",
        'Q' => "M 6 0 Q 12 0 12 6 L 12 14 Q 12 20 6 20 Q 0 20 0 14 L 0 6 Q 0 0 6 0 M 8 15 L 12 20",
        'R' => "M 0 20 L 0 0 L 6 0 Q 12 0 12 6 Q 12 11 6 11 L 0 11 M 6 11 L 12 20",
        'S' => "M 11 3 Q 9 0 6 0 Q 0 0 0 5 Q 0 9 6 10 Q 12 11 12 15 Q 12 20 6 20 Q 2 20 0 16",
        'T' => "M 0 0 L 12 0 M 6 0 L 6 20",
        'U' => "M 0 0 L 0 14 Q 0 20 6 20 Q 12 20 12 14 L 12 0",
        'V' => "M 0 0 L 6 20 L 12 0",
        'W' => "M 0 0 L 3 20 L 6 8 L 9 20 L 12 0",
        'X' => "M 0 0 L 12 20 M 12 0 L 0 20",
        'Y' => "M 0 0 L 6 10 L 12 0 M 6 10 L 6 20",
        'Z' => "M 0 0 L 12 0 L 0 20 L 12 20",
        ':' => "M 6 6 L 6 6 M 6 15 L 6 15",
        '.' => "M 6 20 L 6 20",
        '-' => "M 2 10 L 10 10",
        '/' => "M 0 20 L 12 0",
        _ => "",
    }
}

/// Straight pieces of a pen's way, in pixels.
type Line = [(f32, f32); 2];

/// How much a pen of radius `radius` covers of the pixel at this point.
pub(super) fn pen(lines: &[Line], radius: f32, x: f32, y: f32) -> f32 {
    let squared = lines.iter().map(|&[(ax, ay), (bx, by)]| {
        let (dx, dy) = (bx - ax, by - ay);
        let length = dx * dx + dy * dy;
        let along = if length > 0.0 {
            ((x - ax) * dx + (y - ay) * dy) / length
        } else {
            0.0
        };
        let along = along.clamp(0.0, 1.0);
        let (ex, ey) = (x - ax - along * dx, y - ay - along * dy);
        ex * ex + ey * ey
    });
    let nearest = squared.fold(f32::INFINITY, f32::min);
    radius + 0.5 - nearest.sqrt()
}

/// A character `height` pixels high drawn with a pen `weight` pixels wide. Unknown characters are blank.
pub(super) fn glyph(character: char, height: usize, weight: f32) -> Mask {
    let scale = (height as f32 - weight) / GRID.1;
    let margin = weight / 2.0;
    let width = (GRID.0 * scale + weight).ceil() as usize;
    let lines = lines(strokes(character), |x, y| {
        (margin + x * scale, margin + y * scale)
    });
    Mask::new(width.next_multiple_of(2), height, |x, y| {
        pen(&lines, margin, x, y)
    })
}

fn lines(strokes: &str, place: impl Fn(f32, f32) -> (f32, f32)) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut tokens = strokes.split_ascii_whitespace();
    let mut pen = (0.0, 0.0);
    while let Some(command) = tokens.next() {
        let mut point = || {
            let mut coordinate = || tokens.next().and_then(|token| token.parse().ok()).unwrap_or(0.0);
            let (x, y) = (coordinate(), coordinate());
            place(x, y)
        };
        match command {
            "L" => {
                let to = point();
                lines.push([pen, to]);
                pen = to;
            }
            "Q" => {
                let (control, to) = (point(), point());
                let from = pen;
                for step in 1..=CURVE_STEPS {
                    let t = step as f32 / CURVE_STEPS as f32;
                    let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
                    let next = (
                        a * from.0 + b * control.0 + c * to.0,
                        a * from.1 + b * control.1 + c * to.1,
                    );
                    lines.push([pen, next]);
                    pen = next;
                }
            }
            _ => pen = point(),
        }
    }
    lines
}

/// A quarter of a circle in eight lines is round enough for letters of a hundred pixels.
const CURVE_STEPS: u32 = 8;
