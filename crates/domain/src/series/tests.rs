use super::*;

/// 2026-01-01T10:00:00Z.
const NOW: Time = Time(1_767_261_600_000);

fn cpu(instance: &str) -> MetricId {
    MetricId::new("AWS/EC2", "CPUUtilization", &[("InstanceId", instance)])
}

fn minutes(number: i64) -> Span {
    Span::from_mins(number)
}

fn store(values: &[(i64, f64)]) -> MetricStore {
    let mut store = MetricStore::new();
    for (ago, value) in values {
        let at = NOW - minutes(*ago);
        store.put(cpu("i-1"), Unit::Percent, at, StatisticSet::of(*value), at).expect("accepted");
    }
    store
}

fn sums(got: &[(Time, StatisticSet)]) -> Vec<(i64, f64)> {
    got.iter().map(|(at, set)| ((*at - NOW).seconds() / 60, set.sum)).collect()
}

/// Every statistic of a merged set.
#[test]
fn cloudwatch_2_1_statistics() {
    let mut set = StatisticSet::of(2.0);
    set.merge(&StatisticSet::repeated(8.0, 2.0));
    let set = set.into();
    let value = |statistic: &Statistic| (statistic.name().into_owned(), statistic.of(&set).expect("not a percentile"));
    let got: Vec<(String, f64)> = Statistic::ALL.iter().map(value).collect();
    let got: Vec<(&str, f64)> = got.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(got, [("SampleCount", 3.0), ("Average", 6.0), ("Sum", 18.0), ("Minimum", 2.0), ("Maximum", 8.0)]);
}

/// Percentiles are kept for three days; what is forgotten frees its buckets.
#[test]
fn cloudwatch_2_1_percentiles_are_kept() {
    let mut store = MetricStore::new();
    let p50 = Statistic::percentile("p50").expect("a percentile");
    let put = |store: &mut MetricStore, at: Time, now: Time| {
        for value in [1.0, 2.0, 4.0] {
            store.put(cpu("i-1"), Unit::Percent, at, StatisticSet::of(value), now).expect("accepted");
        }
    };
    put(&mut store, NOW, NOW);
    let read = |store: &MetricStore, period: i64| {
        let samples = store.distributions(&cpu("i-1"), NOW, NOW + minutes(60), minutes(period), None);
        samples.first().and_then(|(_, samples)| p50.of(samples))
    };
    for (later, period, known) in [(0, 1, true), (4 * 60, 5, true), (4 * 24 * 60, 60, false)] {
        let now = NOW + minutes(later);
        put(&mut store, now, now);
        assert_eq!(read(&store, period).is_some(), known, "after {later} minutes");
    }
    let counted: usize = store.metrics.values().flat_map(|units| units.values()).map(|stream| stream.buckets).sum();
    let there = store.metrics.values().flat_map(|units| units.values()).flat_map(|stream| &stream.rings).flatten();
    assert_eq!((store.buckets, counted), (counted, there.map(|(_, samples)| samples.buckets()).sum()));
    assert!(store.buckets > 0);
    store.remove(&cpu("i-1"));
    assert_eq!(store.buckets, 0);
}

/// Two weeks back and two hours ahead are accepted, no more; numbers must be finite and fit together.
#[test]
fn cloudwatch_2_what_is_refused() {
    let mut store = MetricStore::new();
    let good = StatisticSet::of(1.0);
    for (at, set, result) in [
        (NOW - AGE_MAX, good, Ok(())),
        (NOW - AGE_MAX - Span(1), good, Err(PutError::TooOld)),
        (NOW + AHEAD_MAX, good, Ok(())),
        (NOW + AHEAD_MAX + Span(1), good, Err(PutError::TooFarAhead)),
        (NOW, StatisticSet::of(f64::NAN), Err(PutError::NotANumber)),
        (NOW, StatisticSet::of(f64::INFINITY), Err(PutError::NotANumber)),
        (NOW, StatisticSet::repeated(1.0, 0.0), Err(PutError::NotANumber)),
        (NOW, StatisticSet { min: 3.0, max: 2.0, ..good }, Err(PutError::NotANumber)),
    ] {
        assert_eq!(store.put(cpu("i-1"), Unit::Percent, at, set, NOW), result, "{at:?} {set:?}");
    }
}

/// Start inclusive and rounded down to the minute, end exclusive, empty buckets left out.
#[test]
fn cloudwatch_2_2_buckets() {
    let store = store(&[(10, 1.0), (9, 2.0), (9, 4.0), (7, 8.0), (5, 16.0)]);
    for (start, end, period, expected) in [
        (10, 0, 1, vec![(-10, 1.0), (-9, 6.0), (-7, 8.0), (-5, 16.0)]),
        (9, 5, 1, vec![(-9, 6.0), (-7, 8.0)]),
        (10, 0, 5, vec![(-10, 15.0), (-5, 16.0)]),
        (9, 0, 2, vec![(-9, 6.0), (-7, 8.0), (-5, 16.0)]),
        (4, 0, 1, vec![]),
    ] {
        let start = NOW - minutes(start) + Span::from_secs(59);
        let got = store.get(&cpu("i-1"), start, NOW - minutes(end), minutes(period), None);
        assert_eq!(sums(&got), expected, "{start:?} {period}");
    }
    assert!(store.get(&cpu("i-2"), NOW - minutes(60), NOW, minutes(1), None).is_empty());
}

/// Data of one minute is one set, whatever its order and resolution.
#[test]
fn samples_of_a_minute_are_merged() {
    let mut store = MetricStore::new();
    for (second, value) in [(119, 4.0), (5, 1.0), (61, 2.0), (0, 3.0)] {
        let at = NOW + Span::from_secs(second);
        store.put(cpu("i-1"), Unit::Percent, at, StatisticSet::of(value), NOW).expect("accepted");
    }
    let got = store.get(&cpu("i-1"), NOW, NOW + minutes(5), Span::from_secs(10), None);
    assert_eq!(sums(&got), [(0, 4.0), (1, 6.0)]);
}

/// Each unit is a stream of its own; without a unit they are read together.
#[test]
fn cloudwatch_2_units_are_apart() {
    let mut store = store(&[(1, 1.0)]);
    store.put(cpu("i-1"), Unit::Count, NOW - minutes(1), StatisticSet::of(2.0), NOW).expect("accepted");
    for (unit, sum) in [(Some(Unit::Percent), 1.0), (Some(Unit::Count), 2.0), (None, 3.0)] {
        let got = store.get(&cpu("i-1"), NOW - minutes(5), NOW, minutes(1), unit);
        assert_eq!(sums(&got), [(-1, sum)], "{unit:?}");
    }
    assert!(store.get(&cpu("i-1"), NOW - minutes(5), NOW, minutes(1), Some(Unit::Bytes)).is_empty());
    assert_eq!(store.units(&cpu("i-1")), [Unit::Percent, Unit::Count]);
    assert_eq!(Unit::from_name("Bytes/Second"), Some(Unit::BytesPerSecond));
    assert_eq!(Unit::ALL.len(), 27);
}

/// Rolling up loses resolution, never samples, and memory stays within the tiers.
#[test]
fn old_data_is_rolled_up() {
    let mut store = MetricStore::new();
    let days = 20;
    let first = NOW - minutes(days * 24 * 60);
    for minute in 0..days * 24 * 60 {
        let at = first + minutes(minute);
        store.put(cpu("i-1"), Unit::Percent, at, StatisticSet::of(1.0), at).expect("accepted");
    }
    let id = cpu("i-1");
    for hours in [2, 3, 4, 24, 72, 80, 200, 14 * 24] {
        let got = store.get(&id, NOW - minutes(hours * 60), NOW, minutes(60), None);
        assert!(got.iter().all(|(_, set)| set.count == 60.0), "{hours} h: {got:?}");
        assert_eq!(got.len() as i64, hours, "{hours} h");
    }
    assert_eq!(store.get(&id, NOW - minutes(120), NOW, minutes(1), None).len(), 120);
    let stream = &store.metrics[&id][&Unit::Percent];
    let kept: Vec<usize> = stream.rings.iter().map(VecDeque::len).collect();
    assert!(kept[0] <= 190 && kept[1] <= 64 + 12 * 72 && kept[2] <= 15 * 24 + 2, "{kept:?}");
}

/// Late data within two weeks is kept at the resolution of its age.
#[test]
fn late_data_is_kept() {
    let mut store = store(&[(0, 1.0)]);
    for days in [1, 10] {
        let at = NOW - minutes(days * 24 * 60 - 7);
        store.put(cpu("i-1"), Unit::Percent, at, StatisticSet::of(5.0), NOW).expect("accepted");
        let got = store.get(&cpu("i-1"), at.floor(minutes(60)), at + minutes(60), minutes(60), None);
        assert_eq!(got.iter().map(|(_, set)| set.sum).sum::<f64>(), 5.0, "{days}");
    }
}

/// A full store gives up the streams that were not put to for longest.
#[test]
fn the_number_of_streams_is_bounded() {
    let mut store = MetricStore::new();
    let name = |index: usize| cpu(&format!("i-{index:05}"));
    for index in 0..STREAMS_MAX {
        store.put(name(index), Unit::Percent, NOW, StatisticSet::of(1.0), NOW).expect("accepted");
    }
    store.put(name(0), Unit::Percent, NOW, StatisticSet::of(1.0), NOW).expect("accepted");
    assert_eq!(store.len(), STREAMS_MAX);
    store.put(name(STREAMS_MAX), Unit::Percent, NOW, StatisticSet::of(1.0), NOW).expect("accepted");
    let going = STREAMS_MAX / EVICTED_PART;
    assert_eq!(store.len(), STREAMS_MAX - going + 1);
    let has = |index: usize| !store.units(&name(index)).is_empty();
    assert!(has(0) && !has(1) && !has(going) && has(going + 1) && has(STREAMS_MAX));
    store.remove(&name(0));
    assert_eq!((store.len(), store.sets), (STREAMS_MAX - going, 3 * (STREAMS_MAX - going)));
}

/// A stream that gives up its oldest data still has every sample that it can
/// answer for, each once, and the newest minutes.
#[test]
fn streams_are_shortened() {
    let ago: Vec<(i64, f64)> = (0..600).rev().map(|ago| (ago, 1.0)).collect();
    let mut store = store(&ago);
    let id = cpu("i-1");
    let (start, end) = (NOW - minutes(600), NOW + minutes(1));
    let all = |store: &MetricStore| sums(&store.get(&id, start, end, minutes(60), None));
    let (before, sets) = (all(&store), store.sets);
    store.shorten();
    let counted: usize = store.metrics[&id][&Unit::Percent].sets();
    assert!(store.sets == counted && counted < sets && counted > sets / 2, "{counted} of {sets}");
    let after = all(&store);
    assert!(!after.is_empty() && before.ends_with(&after), "{before:?} {after:?}");
    assert_eq!(store.get(&id, NOW - minutes(60), end, minutes(1), None).len(), 61);
}

/// Exact namespace and name, dimensions by name or name and value, activity.
#[test]
fn cloudwatch_3_list_metrics() {
    let mut store = store(&[(240, 1.0)]);
    for (id, ago) in [
        (MetricId::new("AWS/EC2", "NetworkIn", &[("InstanceId", "i-1")]), 1),
        (MetricId::new("AWS/EC2", "CPUUtilization", &[("AutoScalingGroupName", "web")]), 1),
        (MetricId::new("App", "Jobs", &[]), 1),
    ] {
        let at = NOW - minutes(ago);
        store.put(id, Unit::Count, at, StatisticSet::of(1.0), NOW).expect("accepted");
    }
    let any_instance = [("InstanceId".to_owned(), None)];
    let one_instance = [("InstanceId".to_owned(), Some("i-2".to_owned()))];
    let all = MetricFilter::default();
    let namespace = |namespace| MetricFilter { namespace: Some(namespace), ..all };
    let name = MetricFilter { name: Some("CPUUtilization"), ..all };
    let with = |dimensions| MetricFilter { dimensions, ..all };
    let active = MetricFilter { active_since: Some(NOW - RECENTLY_ACTIVE), ..all };
    for (filter, number) in [
        (all, 4),
        (namespace("AWS/EC2"), 3),
        (namespace("AWS"), 0),
        (name, 2),
        (with(&any_instance[..]), 2),
        (with(&one_instance[..]), 0),
        (active, 3),
    ] {
        assert_eq!(store.list(&filter, NOW).len(), number, "{filter:?}");
    }
    assert!(store.list(&all, NOW + AGE_MAX + minutes(1)).is_empty());
}
