//! Samples: what is taken, and what reads give back.

use super::*;
use crate::autoscaling::testing::{Plane, START};
use elastane_domain::time::Span;
use elastane_wire::{ApiError, Timestamp, cloudwatch as wire};

fn at(minutes: i64) -> Option<Timestamp> {
    Some(Timestamp((START + Span::from_mins(minutes)).millis()))
}

fn datum(value: f64, minutes: i64) -> wire::MetricDatum {
    wire::MetricDatum {
        metric_name: Some("Orders".to_string()),
        value: Some(value),
        timestamp: at(minutes),
        ..Default::default()
    }
}

fn put(plane: &mut Plane, data: Vec<wire::MetricDatum>) -> Result<wire::PutMetricDataOutput, ApiError> {
    let input =
        wire::PutMetricDataInput { namespace: Some("Shop".to_string()), metric_data: data, ..Default::default() };
    plane.write(|change| put_metric_data(change, &input))
}

fn statistics(from: i64, to: i64, period: i32) -> wire::GetMetricStatisticsInput {
    wire::GetMetricStatisticsInput {
        namespace: Some("Shop".to_string()),
        metric_name: Some("Orders".to_string()),
        start_time: at(from),
        end_time: at(to),
        period: Some(period),
        statistics: ["SampleCount", "Sum", "Average", "Minimum", "Maximum"].map(str::to_string).to_vec(),
        ..Default::default()
    }
}

/// The three forms of a datum add up to the same statistics.
#[test]
fn cloudwatch_2_forms_of_a_datum() {
    let values = wire::MetricDatum { values: vec![1.0, 4.0], counts: vec![2.0, 1.0], value: None, ..datum(0.0, 0) };
    let set = wire::StatisticSet { sample_count: Some(3.0), sum: Some(6.0), minimum: Some(1.0), maximum: Some(4.0) };
    let set = wire::MetricDatum { statistic_values: Some(set), value: None, ..datum(0.0, 0) };
    for data in [vec![datum(1.0, 0), datum(1.0, 0), datum(4.0, 0)], vec![values], vec![set]] {
        let mut plane = Plane::new();
        put(&mut plane, data).expect("good data");
        let got = plane.read(|call| get_metric_statistics(call, &statistics(0, 1, 60))).expect("a good request");
        assert_eq!(got.label.as_deref(), Some("Orders"));
        let point = &got.datapoints[0];
        let seen = [point.sample_count, point.sum, point.average, point.minimum, point.maximum];
        assert_eq!(seen, [3.0, 6.0, 2.0, 1.0, 4.0].map(Some));
        assert_eq!((point.timestamp, point.unit.as_deref()), (at(0), Some("None")));
    }
}

type Edit = fn(&mut wire::MetricDatum);

/// Data that CloudWatch refuses; the good one beside it is not kept either.
#[test]
fn cloudwatch_2_refused_data() {
    const VALUE: &str = "InvalidParameterValue";
    const COMBINATION: &str = "InvalidParameterCombination";
    let cases: [(Edit, &str); 16] = [
        (|d| d.value = None, COMBINATION),
        (|d| d.values = vec![1.0], COMBINATION),
        (|d| d.statistic_values = Some(Default::default()), COMBINATION),
        (|d| d.value = Some(f64::NAN), VALUE),
        (|d| d.value = Some(2f64.powi(361)), VALUE),
        (|d| (d.value, d.values, d.counts) = (None, vec![1.0, 2.0], vec![1.0]), VALUE),
        (|d| (d.value, d.values, d.counts) = (None, vec![1.0], vec![0.0]), VALUE),
        (|d| (d.value, d.values) = (None, vec![1.0; 151]), VALUE),
        (|d| d.timestamp = at(-15 * 24 * 60), VALUE),
        (|d| d.timestamp = at(121), VALUE),
        (|d| d.storage_resolution = Some(5), VALUE),
        (|d| d.unit = Some("Apples".into()), VALUE),
        (|d| d.metric_name = None, "MissingParameter"),
        (|d| d.dimensions = vec![wire::Dimension { name: Some("d".into()), value: None }], "MissingParameter"),
        (|d| d.dimensions = vec![wire::Dimension { name: Some("d".into()), value: Some("v".into()) }; 2], VALUE),
        (|d| d.dimensions = vec![wire::Dimension { name: Some("d".into()), value: Some("v".into()) }; 31], VALUE),
    ];
    for (number, (edit, code)) in cases.into_iter().enumerate() {
        let mut plane = Plane::new();
        let mut bad = datum(1.0, 0);
        edit(&mut bad);
        let err = put(&mut plane, vec![datum(1.0, 0), bad]).expect_err("to be refused");
        assert_eq!(err.code, code, "case {number}: {err}");
        let listed = plane.read(|call| list_metrics(call, &Default::default())).expect("fine");
        assert!(listed.metrics.is_empty(), "case {number}");
    }
    let mut plane = Plane::new();
    for namespace in ["AWS/EC2", ":x", "a b\u{7}", "ä"] {
        let input = wire::PutMetricDataInput {
            namespace: Some(namespace.to_string()),
            metric_data: vec![datum(1.0, 0)],
            ..Default::default()
        };
        let err = plane.write(|change| put_metric_data(change, &input)).expect_err("to be refused");
        assert_eq!(err.code, VALUE, "{namespace}");
    }
}

type ReadEdit = fn(&mut wire::GetMetricStatisticsInput);

/// Periods gather minutes from the start; what cannot be answered is refused.
#[test]
fn cloudwatch_3_get_metric_statistics() {
    let mut plane = Plane::new();
    put(&mut plane, (0..10).map(|minute| datum(1.0, minute)).collect()).expect("good data");
    let got = plane.read(|call| get_metric_statistics(call, &statistics(0, 10, 300))).expect("a good request");
    let sums: Vec<_> = got.datapoints.iter().map(|point| (point.timestamp, point.sum)).collect();
    assert_eq!(sums, [(at(0), Some(5.0)), (at(5), Some(5.0))]);
    let edits: [(ReadEdit, &str, &str); 9] = [
        (|r| r.period = Some(90), "InvalidParameterValue", "multiple of 60"),
        (|r| r.period = Some(10), "InvalidParameterValue", "not supported"),
        (|r| r.end_time = at(-1), "InvalidParameterValue", "StartTime must be less"),
        (|r| r.end_time = at(1441), "InvalidParameterCombination", "1,440"),
        (|r| r.statistics.clear(), "InvalidParameterCombination", "At least one"),
        (|r| r.extended_statistics = vec!["p99".into()], "InvalidParameterCombination", "mutually exclusive"),
        (
            |r| (r.statistics, r.extended_statistics) = (Vec::new(), vec!["tm99".into()]),
            "InvalidParameterValue",
            "The extended statistic tm99 is not supported",
        ),
        (
            |r| (r.statistics, r.extended_statistics) = (Vec::new(), vec!["p99x".into()]),
            "InvalidParameterValue",
            "p99x",
        ),
        (|r| r.metric_name = None, "MissingParameter", "MetricName"),
    ];
    for (edit, code, text) in edits {
        let mut request = statistics(0, 10, 60);
        edit(&mut request);
        let err = plane.read(|call| get_metric_statistics(call, &request)).expect_err("to be refused");
        assert!(err.code == code && err.message.contains(text), "{err}");
    }
}

/// Percentiles of values and of repeated values; a statistic set of different values has none.
#[test]
fn cloudwatch_2_1_percentiles() {
    let mut plane = Plane::new();
    let values = (1..=100).map(f64::from).collect();
    put(&mut plane, vec![wire::MetricDatum { values, value: None, ..datum(0.0, 0) }]).expect("good data");
    let set = wire::StatisticSet { sample_count: Some(3.0), sum: Some(6.0), minimum: Some(1.0), maximum: Some(4.0) };
    put(&mut plane, vec![wire::MetricDatum { statistic_values: Some(set), value: None, ..datum(0.0, 1) }])
        .expect("good data");
    let request = wire::GetMetricStatisticsInput {
        statistics: Vec::new(),
        extended_statistics: ["p0", "p50", "p99", "p100"].map(str::to_string).to_vec(),
        ..statistics(0, 2, 60)
    };
    let got = plane.read(|call| get_metric_statistics(call, &request)).expect("a good request");
    assert_eq!(got.datapoints.len(), 1, "nothing is known of the second minute");
    let percentiles = &got.datapoints[0].extended_statistics;
    for (name, wanted) in [("p0", 1.0), ("p50", 50.0), ("p99", 99.0), ("p100", 100.0)] {
        let value = percentiles[name];
        assert!((value - wanted).abs() <= wanted * 0.016, "{name} is {value}");
    }
    let mut one = query("a", "Orders");
    one.metric_stat.as_mut().expect("a metric").stat = Some("p90".to_string());
    let got = plane.read(|call| get_metric_data(call, &data(vec![one]))).expect("a good request");
    let [value] = got.metric_data_results[0].values[..] else { panic!("{got:?}") };
    assert!((value - 90.0).abs() <= 1.5, "p90 is {value}");
}

fn query(id: &str, metric: &str) -> wire::MetricDataQuery {
    wire::MetricDataQuery {
        id: Some(id.to_string()),
        metric_stat: Some(wire::MetricStat {
            metric: Some(wire::Metric {
                namespace: Some("Shop".to_string()),
                metric_name: Some(metric.to_string()),
                dimensions: Vec::new(),
            }),
            period: Some(60),
            stat: Some("Sum".to_string()),
            unit: None,
        }),
        ..Default::default()
    }
}

fn data(queries: Vec<wire::MetricDataQuery>) -> wire::GetMetricDataInput {
    wire::GetMetricDataInput { start_time: at(0), end_time: at(10), metric_data_queries: queries, ..Default::default() }
}

/// Newest first unless asked otherwise; a metric without data is complete and empty.
#[test]
fn cloudwatch_3_get_metric_data() {
    let mut plane = Plane::new();
    put(&mut plane, (0..3).map(|minute| datum(minute as f64, minute)).collect()).expect("good data");
    let hidden = wire::MetricDataQuery { return_data: Some(false), ..query("c", "Orders") };
    let request = data(vec![query("a", "Orders"), hidden, query("b", "Nothing")]);
    let got = plane.read(|call| get_metric_data(call, &request)).expect("a good request");
    let shown: Vec<_> = got
        .metric_data_results
        .iter()
        .map(|r| (r.id.as_deref(), r.label.as_deref(), r.values.clone(), r.status_code.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("a"), Some("Orders"), vec![2.0, 1.0, 0.0], Some("Complete")),
            (Some("b"), Some("Nothing"), vec![], Some("Complete"))
        ]
    );
    assert_eq!(got.next_token, None);
    for (edit, text) in [
        ((|q| q.id = Some("A".into())) as fn(&mut wire::MetricDataQuery), "lower-case"),
        (|q| (q.metric_stat, q.expression) = (None, Some("SEARCH('x', 'Sum')".into())), "SEARCH is not supported"),
        (|q| q.metric_stat = None, "either a MetricStat or an Expression"),
        (|q| q.metric_stat.as_mut().expect("one").stat = Some("tc90".into()), "extended statistic tc90"),
        (|q| q.label = Some("${MAX}".into()), "dynamic Label"),
    ] {
        let mut bad = query("a", "Orders");
        edit(&mut bad);
        let request = data(vec![bad]);
        let err = plane.read(|call| get_metric_data(call, &request)).expect_err("to be refused");
        assert!(err.status == 400 && err.message.contains(text), "{err}");
    }
    let twice = data(vec![query("a", "Orders"), query("a", "Orders")]);
    assert!(plane.read(|call| get_metric_data(call, &twice)).is_err());
}

/// Pages of datapoints follow each other without gap or overlap, in both orders.
#[test]
fn cloudwatch_3_get_metric_data_pages() {
    let mut plane = Plane::new();
    let other =
        |minute| wire::MetricDatum { metric_name: Some("Visits".to_string()), ..datum(10.0 + minute as f64, minute) };
    put(&mut plane, (0..5).flat_map(|minute| [datum(minute as f64, minute), other(minute)]).collect())
        .expect("good data");
    for (scan_by, want) in [
        ("TimestampAscending", [0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 12.0, 13.0, 14.0]),
        ("TimestampDescending", [4.0, 3.0, 2.0, 1.0, 0.0, 14.0, 13.0, 12.0, 11.0, 10.0]),
    ] {
        for max in [1, 3, 5, 10] {
            let mut request = data(vec![query("a", "Orders"), query("b", "Visits")]);
            (request.scan_by, request.max_datapoints) = (Some(scan_by.to_string()), Some(max));
            let mut seen = Vec::new();
            for _ in 0..20 {
                let page = plane.read(|call| get_metric_data(call, &request)).expect("a good token");
                let values: Vec<f64> = page.metric_data_results.into_iter().flat_map(|r| r.values).collect();
                assert!(values.len() <= max as usize);
                seen.extend(values);
                request.next_token = page.next_token;
                if request.next_token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, want, "{scan_by} {max}");
        }
    }
    let mut request = data(vec![query("a", "Orders")]);
    request.next_token = Some("nonsense".to_string());
    let err = plane.read(|call| get_metric_data(call, &request)).expect_err("not our token");
    assert_eq!(err.code, "InvalidNextToken");
}

/// ListMetrics filters by name, dimension and recent activity, 500 a page.
#[test]
fn cloudwatch_3_list_metrics() {
    let mut plane = Plane::new();
    let of_shop = |shop: &str, minutes| wire::MetricDatum {
        dimensions: vec![wire::Dimension { name: Some("Shop".to_string()), value: Some(shop.to_string()) }],
        ..datum(1.0, minutes)
    };
    put(&mut plane, vec![datum(1.0, 0), of_shop("Lübeck", -300), of_shop("Kiel", 0)]).expect("good data");
    let count = |plane: &Plane, input: wire::ListMetricsInput| {
        plane.read(|call| list_metrics(call, &input)).expect("a good request").metrics.len()
    };
    let filter = |value: Option<&str>| wire::ListMetricsInput {
        dimensions: vec![wire::DimensionFilter { name: Some("Shop".to_string()), value: value.map(str::to_string) }],
        ..Default::default()
    };
    for (input, want) in [
        (wire::ListMetricsInput::default(), 3),
        (wire::ListMetricsInput { namespace: Some("None".into()), ..Default::default() }, 0),
        (wire::ListMetricsInput { metric_name: Some("Orders".into()), ..Default::default() }, 3),
        (wire::ListMetricsInput { recently_active: Some("PT3H".into()), ..Default::default() }, 2),
        (wire::ListMetricsInput { owning_account: Some("111111111111".into()), ..Default::default() }, 0),
        (filter(None), 2),
        (filter(Some("Lübeck")), 1),
        (filter(Some("Bremen")), 0),
    ] {
        assert_eq!(count(&plane, input.clone()), want, "{input:?}");
    }
    put(&mut plane, (0..600).map(|index| of_shop(&format!("s{index:03}"), 0)).collect()).expect("good data");
    let first = plane.read(|call| list_metrics(call, &Default::default())).expect("fine");
    assert_eq!(first.metrics.len(), 500);
    let next = wire::ListMetricsInput { next_token: first.next_token, ..Default::default() };
    assert_eq!(count(&plane, next), 103);
}
