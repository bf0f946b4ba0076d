//! Patterns of Describe filters (EC2 User Guide, "Find your resources"):
//! `*` stands for any number of characters, `?` for at most one, `\` takes
//! the next character literally. A pattern matches the whole value.

/// Whether `value` matches `pattern`. Case-sensitive. Time is proportional
/// to the product of the lengths, whatever the pattern; both are short
/// (AWS allows 255 characters).
pub fn matches(pattern: &str, value: &str) -> bool {
    let tokens = tokens(pattern);
    let value: Vec<char> = value.chars().collect();
    // reached[i]: the tokens so far can match the first i characters.
    let mut reached = vec![false; value.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; value.len() + 1];
        for i in 0..=value.len() {
            next[i] = match token {
                Token::Many => reached[i] || (i > 0 && next[i - 1]),
                Token::MaybeOne => reached[i] || (i > 0 && reached[i - 1]),
                Token::One(c) => i > 0 && reached[i - 1] && value[i - 1] == c,
            };
        }
        reached = next;
    }
    reached[value.len()]
}

#[derive(Clone, Copy)]
enum Token {
    Many,
    MaybeOne,
    One(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::MaybeOne,
            // A trailing backslash has nothing to escape and means itself.
            '\\' => Token::One(chars.next().unwrap_or('\\')),
            _ => Token::One(c),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any number, at most one, escapes, and that the whole value must match.
    #[test]
    fn ec2_10_3_wildcards() {
        for (pattern, value, matched) in [
            ("", "", true),
            ("", "a", false),
            ("web", "web", true),
            ("web", "Web", false),
            ("web", "web1", false),
            ("*", "", true),
            ("*", "anything", true),
            ("web*", "web", true),
            ("web*", "web-1", true),
            ("*web", "my-web", true),
            ("*eb*", "my-web-1", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("w?b", "web", true),
            ("w?b", "wb", true),
            ("w?b", "weeb", false),
            ("???", "ab", true),
            ("???", "abcd", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\?b", "a?b", true),
            ("a\\?b", "ab", false),
            ("\\\\", "\\", true),
            ("\\", "\\", true),
            ("gr*ße", "größe", true),
        ] {
            assert_eq!(matches(pattern, value), matched, "{pattern:?} {value:?}");
        }
    }

    /// A pattern made to backtrack takes no longer than any other.
    #[test]
    fn hostile_patterns_end() {
        assert!(!matches(&"*a".repeat(127), &"a".repeat(126)));
        assert!(matches(&"?*".repeat(127), &"b".repeat(1024)));
    }
}
