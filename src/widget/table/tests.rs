use super::*;

const fn column(title: &'static str, width: u16, most: u16, priority: u8) -> Column {
    Column { title, width, most, priority, align: Align::Left, cut: Cut::End }
}

const COLUMNS: [Column; 5] = [
    column("NAME", 6, 10, 0),
    column("LONG", 10, 10, 3),
    column("LAG", 5, 5, 1),
    column("WHY", 8, 40, 2),
    column("AGE", 3, 3, 4),
];

fn shown(width: u16, shift: usize) -> Vec<&'static str> {
    layout(&COLUMNS, 1, shift, width).placed.iter().map(|placed| COLUMNS[placed.column].title).collect()
}

#[test]
fn the_most_important_columns_stand_where_not_all_fit() {
    assert_eq!(shown(200, 0), ["NAME", "LONG", "LAG", "WHY", "AGE"]);
    assert_eq!(shown(30, 0), ["NAME", "LAG", "WHY", "AGE"]);
    assert_eq!(shown(14, 0), ["NAME", "LAG"]);
    assert_eq!(shown(3, 0), ["NAME"]);
    assert_eq!(shown(0, 0), [""; 0]);
}

#[test]
fn shifting_brings_every_column_into_sight_and_the_frozen_one_stays() {
    assert_eq!(shown(30, 1), ["NAME", "WHY", "AGE"]);
    assert_eq!(shown(30, 3), ["NAME", "LONG"]);
    assert_eq!(shown(30, 99), ["NAME", "LONG"]);
    let first = layout(&COLUMNS, 1, 0, 30);
    assert_eq!((first.more_left, first.more_right), (false, true));
    let last = layout(&COLUMNS, 1, 3, 30);
    assert_eq!((last.more_left, last.more_right), (true, false));
}

#[test]
fn room_that_is_left_goes_to_the_most_important_that_can_use_it() {
    let widths: Vec<u16> = layout(&COLUMNS, 1, 0, 100).placed.iter().map(|placed| placed.width).collect();
    assert_eq!(widths, [10, 10, 5, 40, 3]);
    let all: u16 = layout(&COLUMNS, 1, 0, 60).placed.iter().map(|placed| placed.width + 1).sum();
    assert_eq!(all, 60);
}

#[test]
fn no_width_places_a_column_outside() {
    for width in 0..220 {
        for shift in 0..6 {
            let placed = layout(&COLUMNS, 1, shift, width).placed;
            assert!(placed.iter().all(|placed| placed.x + placed.width <= width), "{width} {shift}: {placed:?}");
        }
    }
}

#[test]
fn a_text_is_cut_at_the_end_that_matters_less() {
    assert_eq!(fit("acid-shop-0", 6, Cut::Start), "…hop-0");
    assert_eq!(fit("acid-shop-0", 6, Cut::End), "acid-…");
    assert_eq!(fit("数数数", 4, Cut::End), "数…");
    assert_eq!(fit("ab", 0, Cut::End), "");
}

#[test]
fn the_selected_row_is_marked_and_numbers_hold_to_the_right() {
    let columns = [column("NAME", 6, 6, 0), Column { align: Align::Right, ..column("LAG", 6, 6, 1) }];
    let area = Rect::new(0, 0, 16, 3);
    let layout = layout(&columns, 1, 0, area.width);
    let mut buffer = Buffer::empty(area);
    let frame = Frame {
        columns: &columns,
        layout: &layout,
        sort: Some((1, Order::Descending)),
        selected: Some(1),
        marked: &[],
    };
    let rows = [["a", "1 B"], ["b", "2 B"], ["c", "3 B"]];
    let cell = |row: &[&'static str; 2], idx: usize| Cell::new(row[idx], Tone::Normal);
    draw(&frame, rows.into_iter(), cell, &Theme::default(), (area, &mut buffer));

    let line = |y| (0..16).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    assert_eq!([line(0), line(1), line(2)], [" NAME     LAG↓  ", " a         1 B  ", ">b         2 B  "]);
}

#[test]
fn cells_are_made_for_what_is_in_sight_alone() {
    let area = Rect::new(0, 0, 30, 10);
    let layout = layout(&COLUMNS, 1, 0, area.width);
    let frame = Frame { columns: &COLUMNS, layout: &layout, sort: None, selected: None, marked: &[] };
    let (pulled, made) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let rows = (0..2000).inspect(|_| pulled.set(pulled.get() + 1));
    let cell = |_: &i32, _| {
        made.set(made.get() + 1);
        Cell::new("x", Tone::Normal)
    };
    draw(&frame, rows, cell, &Theme::default(), (area, &mut Buffer::empty(area)));
    assert_eq!((pulled.get(), made.get()), (9, 9 * layout.placed.len()));
}
