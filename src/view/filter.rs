//! The filter language of all lists: words, `column:value`, and `!` before either to exclude. All terms must hold.

/// A filter, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    column: Option<String>,
    /// Lower case.
    value: String,
    negated: bool,
}

impl Filter {
    /// Reads a filter for rows with those columns; `a:b` with an unknown `a` is an error that names the known ones.
    pub fn parse(text: &str, columns: &[&str]) -> Result<Self, String> {
        let terms = text.split_whitespace().map(|word| term(word, columns)).collect::<Result<Vec<_>, _>>()?;
        Ok(Filter { text: text.trim().to_owned(), terms: terms.into_iter().flatten().collect() })
    }

    /// Reads a filter for lines of text: only `column:` of those columns is special, any other colon is text.
    pub fn parse_text(text: &str, columns: &[&str]) -> Self {
        let one = |word: &str| term(word, columns).or_else(|_| term(word, &[])).ok().flatten();
        Filter { text: text.trim().to_owned(), terms: text.split_whitespace().filter_map(one).collect() }
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a row, given as (column, text) pairs, stays.
    pub fn keeps(&self, row: &[(&str, &str)]) -> bool {
        self.terms.iter().all(|term| {
            let hit = row
                .iter()
                .filter(|(column, _)| term.column.as_deref().is_none_or(|wanted| wanted == *column))
                .any(|(_, text)| text.to_lowercase().contains(&term.value));
            hit != term.negated
        })
    }

    /// Whether one line of text stays: only words matter.
    pub fn keeps_text(&self, text: &str) -> bool {
        self.keeps(&[("", text)])
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

fn term(word: &str, columns: &[&str]) -> Result<Option<Term>, String> {
    let (negated, rest) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if rest.is_empty() {
        return Ok(None);
    }
    let lower = rest.to_lowercase();
    match lower.split_once(':') {
        Some((column, value)) if columns.contains(&column) => {
            Ok(Some(Term { column: Some(column.to_owned()), value: value.to_owned(), negated }))
        }
        Some((column, _)) if !columns.is_empty() && column.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            Err(format!("no column {column:?} here; there are {}", columns.join(", ")))
        }
        _ => Ok(Some(Term { column: None, value: lower, negated })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, kept: bool) {
        let row = [("name", "acid-shop-1"), ("state", "Streaming"), ("team", "acid")];
        let filter = Filter::parse(filter, &["name", "state", "team"]).unwrap();
        assert_eq!(filter.keeps(&row), kept, "{filter:?}");
    }

    #[test]
    fn terms_are_joined_and_case_does_not_matter() {
        check("", true);
        check("SHOP stream", true);
        check("shop paused", false);
        check("state:streaming !name:billing", true);
        check("!state:streaming", false);
        check("team:shop", false);
        check("!", true);
    }

    #[test]
    fn an_unknown_column_is_named_with_those_there_are() {
        assert_eq!(Filter::parse("nmae:x", &["name"]).unwrap_err(), "no column \"nmae\" here; there are name");
        assert!(Filter::parse("http://x 12:30", &[]).is_ok());
    }
}
