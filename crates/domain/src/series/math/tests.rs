//! Tables of what expressions evaluate to, named after cloudwatch.md.

use super::*;

const STEP: i64 = 60_000;

/// Five minutes of a metric, from the text `30 - 0 0 30`.
fn points(text: &str) -> Vec<(Time, f64)> {
    let slot = |(index, word): (usize, &str)| Some((Time(index as i64 * STEP), word.parse().ok()?));
    text.split_whitespace().enumerate().filter_map(slot).collect()
}

fn stat(name: &str) -> MetricStat {
    let metric = MetricId::new("Shop", name, &[]);
    MetricStat { metric, period: Span(STEP), statistic: Statistic::Sum, unit: None }
}

fn metric(id: &str) -> Query {
    let source = Source::Stat(stat(id));
    Query { id: id.to_owned(), source, label: None, returned: false, period: None }
}

fn expression(id: &str, text: &str) -> Query {
    let source = Source::Expression(text.to_owned());
    Query { id: id.to_owned(), source, label: None, returned: true, period: None }
}

/// The result of an expression over metrics `a`, `b` and `c` of five minutes
/// each, as text; arrays with bars between their series.
fn result(text: &str, metrics: [&str; 3]) -> Result<String, MathError> {
    let queries = [metric("a"), metric("b"), metric("c"), expression("e", text)];
    let fetch = |stat: &MetricStat| points(metrics[usize::from(stat.metric.name.as_bytes()[0] - b'a')]);
    let value = evaluate(&queries, (Time(0), Time(5 * STEP)), &fetch)?.pop().expect("the expression's");
    let shown = |series: &Series| {
        let slot = |index| series.points.get(&Time(index * STEP)).map_or("-".to_owned(), |value| format!("{value}"));
        (0..5).map(slot).collect::<Vec<_>>().join(" ")
    };
    Ok(match &value {
        Value::Scalar(number) => format!("={number}"),
        Value::Series(series) => shown(series),
        Value::Array(all) => all.iter().map(shown).collect::<Vec<_>>().join(" | "),
    })
}

const A: &str = "1 2 3 4 5";
const B: &str = "2 - 0 4 -";
const C: &str = "- - - - -";

/// Operators: precedence, missing points, divisions by zero, truth.
#[test]
fn cloudwatch_4_operators() {
    for (text, expected) in [
        ("a + b", "3 2 3 8 5"),
        ("a - b", "-1 2 3 0 5"),
        ("a * b", "2 0 0 16 0"),
        ("a / b", "0.5 - - 1 -"),
        ("b / a", "2 0 0 1 0"),
        ("a ^ 2", "1 4 9 16 25"),
        ("2 ^ 3 ^ 2 + a * 0", "512 512 512 512 512"),
        ("-a ^ 2", "-1 -4 -9 -16 -25"),
        ("- a + 1", "0 -1 -2 -3 -4"),
        ("1 + a * 2", "3 5 7 9 11"),
        ("(1 + a) * 2", "4 6 8 10 12"),
        ("a > 2", "0 0 1 1 1"),
        ("a >= 2 && a < 4", "0 1 1 0 0"),
        ("a == 1 OR a == 5", "1 0 0 0 1"),
        ("a != 3 AND b", "1 0 0 1 0"),
        ("1e2 * a / 1.0E2 + .5", "1.5 2.5 3.5 4.5 5.5"),
        ("c + 1", "- - - - -"),
        ("1 + 1", "=2"),
        ("[a, b] + c", "1 2 3 4 5 | 2 - 0 4 -"),
        ("[a, b] * 2", "2 4 6 8 10 | 4 - 0 8 -"),
    ] {
        assert_eq!(result(text, [A, B, C]).as_deref(), Ok(expected), "{text}");
    }
}

/// Functions of one series and of several.
#[test]
fn cloudwatch_4_functions() {
    for (text, expected) in [
        ("ABS(a - 3)", "2 1 0 1 2"),
        ("CEIL(a / 2)", "1 1 2 2 3"),
        ("FLOOR(a / 2)", "0 1 1 2 2"),
        ("LOG10(a * 0 + 100)", "2 2 2 2 2"),
        ("DIFF(a)", "- 1 1 1 1"),
        ("DIFF(b)", "- - -2 4 -"),
        ("DIFF_TIME(b)", "- - 120 60 -"),
        ("RATE(a * 60)", "- 1 1 1 1"),
        ("RUNNING_SUM(b)", "2 - 2 6 -"),
        ("SUM(a)", "=15"),
        ("AVG(b)", "=2"),
        ("MAX(a)", "=5"),
        ("MIN(b)", "=0"),
        ("STDDEV(a)", "=1.4142135623730951"),
        ("DATAPOINT_COUNT(b)", "=3"),
        ("SUM([a, b])", "3 2 3 8 5"),
        ("AVG([a, b])", "1.5 1 1.5 4 2.5"),
        ("MAX([a, b])", "2 2 3 4 5"),
        ("MIN([a, b])", "1 2 0 4 5"),
        ("SUM(METRICS())", "3 2 3 8 5"),
        ("METRICS(\"b\")", "2 - 0 4 -"),
        ("METRIC_COUNT(METRICS())", "=3"),
        ("REMOVE_EMPTY(METRICS())", "1 2 3 4 5 | 2 - 0 4 -"),
        ("FIRST([a, b])", "1 2 3 4 5"),
        ("LAST([a, b])", "2 - 0 4 -"),
        ("SLICE([a, b, c], 1)", "2 - 0 4 -"),
        ("SLICE([a, b, c], 0, 2)", "1 2 3 4 5 | 2 - 0 4 -"),
        ("SORT([a, c, b], SUM, ASC)", "2 - 0 4 - | 1 2 3 4 5 | - - - - -"),
        ("SORT([b, a], MAX, DESC, 1)", "1 2 3 4 5"),
        ("FILL(b, 9)", "2 9 0 4 9"),
        ("FILL(b, REPEAT)", "2 2 0 4 4"),
        ("FILL(b, LINEAR)", "2 1 0 4 -"),
        ("FILL(b, a)", "2 2 0 4 5"),
        ("FILL(c, 0)", "0 0 0 0 0"),
        ("PERIOD(a) * 2", "=120"),
        ("TIME_SERIES(7)", "7 7 7 7 7"),
        ("a - AVG(a)", "-2 -1 0 1 2"),
        ("a * AVG(c)", "- - - - -"),
        ("MINUTE(a)", "0 1 2 3 4"),
        ("DAY(a) * 10000 + YEAR(a)", "41970 41970 41970 41970 41970"),
        ("EPOCH(b)", "0 - 120 180 -"),
    ] {
        assert_eq!(result(text, [A, B, C]).as_deref(), Ok(expected), "{text}");
    }
}

/// IF: the documented example, and its other forms.
#[test]
fn cloudwatch_4_if() {
    let metrics = ["1 1 0 0 -", "30 - 0 0 30", "0 0 20 - 20"];
    for (text, expected) in [
        ("IF(a, b, c)", "30 0 20 0 -"),
        ("IF(a, b)", "30 0 - - -"),
        ("IF(a > 0, 7, c)", "7 7 20 0 -"),
        ("IF(1, b, c)", "30 - 0 0 30"),
        ("IF(0, b, c)", "0 0 20 - 20"),
        ("IF(0, b)", "- - - - -"),
    ] {
        assert_eq!(result(text, metrics).as_deref(), Ok(expected), "{text}");
    }
}

/// What is no expression, or does not fit together, is refused with a reason; so is what would be too much.
#[test]
fn cloudwatch_4_refusals() {
    let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    let long = format!("a{}", " + a".repeat(600));
    let minuses = format!("{}a", "-".repeat(200));
    for (text, fragment) in [
        ("", "ends too early"),
        ("a +", "ends too early"),
        ("a b", "unexpected 'b'"),
        ("(a", "expected ')'"),
        ("a # b", "unexpected '#'"),
        ("ä", "unexpected 'ä'"),
        ("METRICS(\"a", "not closed"),
        ("z + 1", "no query with the id z"),
        ("NOPE(a)", "no function NOPE"),
        ("SEARCH('x')", "not supported"),
        ("ABS(a, b)", "number of arguments"),
        ("DIFF(1)", "needs a time series"),
        ("[1]", "time series only"),
        ("PERIOD(a + b)", "id of a metric"),
        ("[a, b] + [a]", "different lengths"),
        ("SLICE(METRICS(), 0.5)", "whole number"),
        ("SORT(METRICS(), AVG, UP)", "ASC or DESC"),
        ("IF(METRICS(), 1)", "condition of IF"),
        ("e + 1", "depends on itself"),
        ("1e999", "too large"),
        (&deep, "nested"),
        (&minuses, "nested"),
        (&long, "longer than"),
    ] {
        let error = result(text, [A, B, C]).expect_err(text).to_string();
        assert!(error.contains(fragment) && error.contains("'e'"), "{text}: {error}");
    }
}

/// An alarm watches one series; expressions may come before what they are made of.
#[test]
fn cloudwatch_4_what_alarms_may_watch() {
    let hidden = |query: Query| Query { returned: false, ..query };
    for (queries, fine) in [
        (vec![metric("a"), expression("e", "a * 2")], true),
        (vec![expression("e", "f + 1"), hidden(expression("f", "a * 2")), metric("a")], true),
        (vec![Query { returned: true, ..metric("a") }], true),
        (vec![metric("a")], false),
        (vec![metric("a"), expression("e", "a"), expression("f", "a")], false),
        (vec![metric("a"), expression("e", "SUM(a)")], false),
        (vec![metric("a"), metric("b"), expression("e", "[a, b]")], false),
        (vec![hidden(expression("f", "e")), expression("e", "f")], false),
    ] {
        assert_eq!(check_single(&queries).is_ok(), fine, "{queries:?}");
    }
    assert_eq!(period(&[metric("a"), expression("e", "a")]), Some(Span(STEP)));
    let said = Query { period: Some(Span(300_000)), ..expression("e", "a") };
    assert_eq!(period(&[metric("a"), said]), Some(Span(300_000)));
}
