//! Tables as CSV. What is unknown is an empty cell.

use super::answer::{Cell, Table};

/// The table as a file. Texts that a spreadsheet would run as a formula are made harmless.
pub fn render(table: &Table) -> Result<Vec<u8>, ::csv::Error> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(&table.header)?;
    for row in &table.rows {
        writer.write_record(row.iter().map(text))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Unknown => String::new(),
        Cell::Count(number) => number.to_string(),
        Cell::Dollars(nanos) => dollars(*nanos),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Cell::Text(text) => text.clone(),
    }
}

/// Billionths as a decimal number, without the noise of binary fractions.
fn dollars(nanos: i64) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).abs());
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_quoted_and_harmless_and_says_nothing_of_what_is_unknown() {
        let rows = vec![
            vec![Cell::Text("a,\"b\"".into()), Cell::Count(0), Cell::Dollars(1_500_000)],
            vec![Cell::Text("=1+1".into()), Cell::Unknown, Cell::Dollars(0)],
        ];
        let text = String::from_utf8(render(&Table { header: vec!["name", "count", "cost"], rows }).unwrap())
            .unwrap();
        assert_eq!(text, "name,count,cost\n\"a,\"\"b\"\"\",0,0.0015\n'=1+1,,0\n");
    }

    #[test]
    fn dollars_are_exact() {
        for (nanos, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (12_000_000_000, "12"),
            (12_340_000_000, "12.34"),
            (100, "0.0000001"),
        ] {
            assert_eq!(dollars(nanos), expected);
        }
    }
}
