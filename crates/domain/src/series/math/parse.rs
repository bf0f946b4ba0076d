//! From the text of an expression to its tree. Both are bounded: the text by
//! `EXPRESSION_MAX`, the tree by `DEPTH_MAX`.

use super::EXPRESSION_MAX;

/// Parentheses, calls and operators within each other. Real expressions have
/// a handful; the bound keeps the stack short.
const DEPTH_MAX: usize = 64;

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// Operators by how loosely they bind, with their signs; longer signs come
/// before those that they begin with.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or), ("OR", Operator::Or)],
    &[("&&", Operator::And), ("AND", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
];

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    /// An id of a query, in lower case at its beginning.
    Id(String),
    /// An upper-case word that is no call: REPEAT, LINEAR, ASC, DESC, AVG.
    Word(String),
    Array(Vec<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
}

impl Expr {
    /// The ids that it names; `None` among them for METRICS, which names all metrics.
    pub(super) fn ids<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Expr::Number(_) | Expr::Text(_) | Expr::Word(_) => {}
            Expr::Id(id) => into.push(id),
            Expr::Array(items) | Expr::Call(_, items) => items.iter().for_each(|item| item.ids(into)),
            Expr::Negate(operand) => operand.ids(into),
            Expr::Binary(_, left, right) => {
                left.ids(into);
                right.ids(into);
            }
        }
    }
}

/// The tree of an expression, or what is wrong with its text.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    if text.len() > EXPRESSION_MAX {
        return Err(format!("it is longer than {EXPRESSION_MAX} characters"));
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let expr = parser.level(0)?;
    parser.blanks();
    match parser.rest().chars().next() {
        None => Ok(expr),
        Some(found) => Err(format!("unexpected '{found}' at character {}", parser.at + 1)),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Always at the beginning of a character.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes a sign; a sign of letters must not go on as a word.
    fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let word = sign.bytes().all(|byte| byte.is_ascii_alphabetic());
        let goes_on = |rest: &str| rest[sign.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let found = self.rest().starts_with(sign) && !(word && goes_on(self.rest()));
        if found {
            self.at += sign.len();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("expected '{sign}' at character {}", self.at + 1)) }
    }

    /// Runs a part of the parser one level deeper.
    fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        let result = part(self);
        self.depth -= 1;
        result
    }

    /// Operands of one level, joined from left to right. Each join makes the
    /// tree one deeper, so a chain counts as nesting.
    fn level(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        let mut joined = 0;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.take(sign)) {
            joined += 1;
            if self.depth + joined > DEPTH_MAX * 8 {
                return Err("it has too many operators".to_owned());
            }
            let right = self.level(level + 1)?;
            left = Expr::Binary(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.take("-") {
            return self.deeper(|parser| Ok(Expr::Negate(Box::new(parser.unary()?))));
        }
        let base = self.primary()?;
        if self.take("^") {
            let exponent = self.deeper(Parser::unary)?;
            return Ok(Expr::Binary(Operator::Power, Box::new(base), Box::new(exponent)));
        }
        Ok(base)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        self.blanks();
        match self.rest().chars().next() {
            None => Err("it ends too early".to_owned()),
            Some('(') => {
                self.at += 1;
                let inner = self.deeper(|parser| parser.level(0))?;
                self.expect(")")?;
                Ok(inner)
            }
            Some('[') => {
                self.at += 1;
                Ok(Expr::Array(self.list("]")?))
            }
            Some(quote @ ('"' | '\'')) => self.text(quote),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.word(),
            Some(c) => Err(format!("unexpected '{c}' at character {}", self.at + 1)),
        }
    }

    /// Expressions up to the closing sign.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, String> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(self.deeper(|parser| parser.level(0))?);
            if self.take(close) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    fn text(&mut self, quote: char) -> Result<Expr, String> {
        let inner = &self.rest()[1..];
        let length = inner.find(quote).ok_or_else(|| "a quotation mark is not closed".to_owned())?;
        self.at += length + 2;
        Ok(Expr::Text(inner[..length].to_owned()))
    }

    fn number(&mut self) -> Result<Expr, String> {
        let rest = self.rest();
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut length = digits(rest);
        if rest[length..].starts_with('.') {
            length += 1 + digits(&rest[length + 1..]);
        }
        let exponent =
            rest[length..].strip_prefix(['e', 'E']).map(|tail| tail.strip_prefix(['+', '-']).unwrap_or(tail));
        if let Some(tail) = exponent.filter(|tail| digits(tail) > 0) {
            length = rest.len() - tail.len() + digits(tail);
        }
        let value: f64 = rest[..length].parse().map_err(|_| format!("'{}' is not a number", &rest[..length]))?;
        if !value.is_finite() {
            return Err(format!("'{}' is too large", &rest[..length]));
        }
        self.at += length;
        Ok(Expr::Number(value))
    }

    fn word(&mut self) -> Result<Expr, String> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..length];
        self.at += length;
        if word.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Ok(Expr::Id(word.to_owned()));
        }
        if self.take("(") {
            return Ok(Expr::Call(word.to_owned(), self.list(")")?));
        }
        Ok(Expr::Word(word.to_owned()))
    }
}
