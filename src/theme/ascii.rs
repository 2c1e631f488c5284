//! The picture in ASCII alone, for terminals that show nothing else.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Spells every cell in ASCII: our own drawing by its likeness, outside letters as `?`.
pub fn spell(buffer: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let Some(cell) = buffer.cell_mut((x, y)) else { continue };
            if !cell.symbol().is_ascii() {
                let likeness = cell.symbol().chars().next().map_or('?', like);
                cell.set_char(likeness);
            }
        }
    }
}

fn like(c: char) -> char {
    match c {
        '├' | '└' | '┌' | '┐' | '┘' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╯' | '╰' | '▅' | '▆' => {
            '+'
        }
        '─' | '–' | '—' => '-',
        '│' => '|',
        '…' => '~',
        '●' => '*',
        '○' | '·' => 'o',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '▁' | '▂' => '.',
        '▃' | '▄' => ':',
        '▇' | '█' => '#',
        '→' | '›' | '≥' => '>',
        '←' | '‹' | '≤' => '<',
        '\u{a0}' => ' ',
        _ => '?',
    }
}
