//! A table for a terminal: columns as wide as they need to be, numbers to the right.

/// A text of which nothing moves the terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Headings and rows.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: impl IntoIterator<Item = &'static str>) -> Table {
        Table { rows: vec![headings.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row; one that is shorter than the headings ends early.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, without a line break at the end.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let shape: Vec<(usize, bool)> = (0..columns)
            .map(|column| {
                let width = cells(column).map(|cell| cell.chars().count()).max().unwrap_or_default();
                let numeric = cells(column).skip(1).all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()));
                (width, numeric && column > 0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&shape).map(|(cell, (width, numeric))| match numeric {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
