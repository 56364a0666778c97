//! How much a rule may hide, and until when.

/// Year, month, day.
pub type Date = (u16, u8, u8);

/// What a rule hides at most, all its leaks in a process taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Blocks.
    pub count: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Last day.
    pub expires: Option<Date>,
}

impl Limits {
    /// Takes one of a rule's conditions. `false`: that is none.
    pub(super) fn read(&mut self, word: &str) -> Result<bool, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        if let Some(count) = word.strip_prefix("count<=") {
            self.count = Some(number(count)?);
        } else if let Some(bytes) = word.strip_prefix("bytes<=") {
            self.bytes = Some(number(bytes)?);
        } else if let Some(date) = word.strip_prefix("expires=") {
            let read = read_date(date).ok_or_else(|| format!("`{date}` is no date: YYYY-MM-DD"))?;
            self.expires = Some(read);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

fn read_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse::<u16>().ok() } else { None }
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let is_date = parts.next().is_none() && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then_some((year, month as u8, day as u8))
}
