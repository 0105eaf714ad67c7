//! What is seen is in the document, in bounds, and the patches lead there.

use super::*;

fn known(names: &[&str]) -> Seen {
    let one = |name: &&str| ((*name).to_owned(), json!({ "uuid": format!("u-{name}"), "state": "off" }));
    Seen::Agents(names.iter().map(one).collect())
}

fn status(agent: &str, state: &str, site: &str) -> Seen {
    let status = json!({ "state": state, "told": state, "site": site, "moving": null });
    Seen::Status { agent: agent.to_owned(), status }
}

fn read(agent: &str, busiest: Option<f64>) -> Seen {
    let readings = Box::new(Readings { busiest, ..Readings::default() });
    Seen::Read { agent: agent.to_owned(), readings, auto: Value::Null, view: Value::Null }
}

/// A page that follows by patches alone, beside the model.
struct Both {
    model: Model,
    page: Value,
}

impl Both {
    fn new() -> Both {
        let model = Model::new("desk");
        let page = model.document().clone();
        Both { model, page }
    }

    /// What the page has after this was seen.
    fn see(&mut self, now_ms: u64, seen: Seen) -> &Value {
        if let Some(patch) = self.model.see(now_ms, seen) {
            apply(&mut self.page, &patch);
        }
        assert_eq!(self.page, *self.model.document());
        &self.page
    }
}

#[test]
fn a_page_that_follows_the_patches_has_the_whole_document() {
    let mut both = Both::new();
    both.see(1000, known(&["a", "b"]));
    both.see(1100, status("a", "running", "desk"));
    let page = both.see(1200, read("a", Some(0.95)));
    assert_eq!(
        (&page["agents"]["a"]["does"], &page["agents"]["a"]["samples"]["1"][1]),
        (&json!("computing"), &json!(0.95))
    );
    let leaving = json!({ "state": "leaving", "told": "moving to big: memory is copied", "site": "desk", "moving": { "to": "big" } });
    let page = both.see(1300, Seen::Status { agent: "a".to_owned(), status: leaving });
    assert_eq!(page["agents"]["a"]["moving"]["to"], "big");
    let page = both.see(1400, status("a", "running", "big"));
    assert_eq!((&page["agents"]["a"]["site"], page["agents"]["a"].get("moving")), (&json!("big"), None));
    // One that was removed, and one of the same name that is another.
    let page = both.see(1500, known(&["b"]));
    assert!(page["agents"].get("a").is_none());
    both.see(1600, status("b", "running", "desk"));
    let again = Seen::Agents(vec![("b".to_owned(), json!({ "uuid": "other", "state": "off" }))]);
    let page = both.see(1700, again);
    assert!(page["agents"]["b"].get("heard_ms").is_none(), "{page}");
}

#[test]
fn what_is_not_heard_any_more_stays_with_when_it_was_heard() {
    let mut both = Both::new();
    both.see(1000, known(&["a"]));
    both.see(2000, status("a", "running", "big"));
    let page = both.see(9000, Seen::Silent { agent: "a".to_owned(), why: "big does not answer".to_owned() });
    let agent = &page["agents"]["a"];
    assert_eq!((&agent["state"], &agent["heard_ms"]), (&json!("running"), &json!(2000)));
    assert_eq!(agent["silent"], "big does not answer");
    let page = both.see(9500, status("a", "running", "big"));
    assert!(page["agents"]["a"].get("silent").is_none());

    both.see(9600, Seen::Sites(vec![("big".to_owned(), json!({ "state": "unknown" }))]));
    let answer = |answer| Seen::Answer { site: "big".to_owned(), answer };
    both.see(10_000, answer(Ok(66.04)));
    let page = both.see(11_000, answer(Err("no route".to_owned())));
    let site = &page["sites"]["big"];
    assert_eq!(
        (&site["state"], &site["rtt_ms"], &site["heard_ms"]),
        (&json!("silent"), &json!(66.0), &json!(10_000))
    );
    // What is not listed is not shown.
    assert_eq!(both.model.see(1, Seen::Answer { site: "nobody".to_owned(), answer: Ok(1.0) }), None);
    assert_eq!(both.model.see(1, status("nobody", "running", "a")), None);
}

#[test]
fn points_lines_and_doings_are_bounded() {
    let mut both = Both::new();
    both.see(0, known(&["a"]));
    for second in 0..SAMPLES + 50 {
        both.see(second * 1000, read("a", Some(0.5)));
    }
    let samples = both.page["agents"]["a"]["samples"].as_object().unwrap();
    assert_eq!(samples.len() as u64, SAMPLES);
    assert!(samples.contains_key("349") && !samples.contains_key("49"));
    // A clock that is set back.
    let page = both.see(5000, read("a", Some(0.1)));
    assert_eq!(page["agents"]["a"]["samples"].as_object().unwrap().len(), 1);

    let log = |from: i64, to: i64| {
        let lines = (from..to).map(|id| (id, json!({ "text": format!("line {id}") }))).collect();
        Seen::Log { agent: "a".to_owned(), lines }
    };
    both.see(6000, log(1, 151));
    let page = both.see(6000, log(151, 301));
    let kept = page["agents"]["a"]["log"].as_object().unwrap();
    assert_eq!(kept.len(), LINES);
    assert!(kept.contains_key("300") && !kept.contains_key("100"));

    for id in 0..DOINGS as u64 + 5 {
        both.see(7000, Seen::Doing { id, told: json!({ "state": "doing" }) });
    }
    let page = both.see(7000, Seen::Doing { id: 28, told: json!({ "state": "done" }) });
    assert_eq!(page["doings"].as_object().unwrap().len(), DOINGS);
    assert_eq!(page["doings"]["28"]["state"], "done");

    let many: Vec<String> = (0..AGENTS_MAX + 9).map(|n| format!("{n:04}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let page = both.see(8000, known(&names));
    assert_eq!(page["agents"].as_object().unwrap().len(), AGENTS_MAX);
}

#[test]
fn nothing_is_told_where_nothing_changed() {
    let mut model = Model::new("desk");
    model.see(0, known(&["a"])).unwrap();
    assert_eq!(model.see(1, known(&["a"])), None);
    model.see(2, status("a", "off", "desk")).unwrap();
    // Only when it was heard.
    let patch = model.see(3, status("a", "off", "desk")).unwrap();
    assert_eq!(patch, json!({ "agents": { "a": { "heard_ms": 3 } } }));
}

#[test]
fn fifty_agents_and_ten_sites_with_full_charts_and_logs_are_a_document_of_a_few_megabytes() {
    let mut model = Model::new("desk");
    let names: Vec<String> = (0..50).map(|n| format!("agent-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    model.see(0, known(&names));
    let line = json!({ "at_ms": 1_700_000_000_000_u64, "text": "x".repeat(120) });
    for name in &names {
        for second in 0..SAMPLES {
            model.see(second * 1000, read(name, Some(0.5)));
        }
        let lines = (0..LINES).map(|id| (i64::try_from(id).unwrap(), line.clone())).collect();
        model.see(0, Seen::Log { agent: (*name).to_owned(), lines });
    }
    let len = model.document().to_string().len();
    assert!(len < 4 << 20, "{len} bytes");
}
