//! What the proxy adds to the age of a frame where there is no distance.

use anyhow::Result;

use super::bar::{Bar, part};
use super::fps::BYTES;
use super::stage::{Look, Stage};

/// A server that pushes and one that has to be asked.
pub(super) fn measure(stage: &Stage, runs: usize, seconds: f64) -> Result<Vec<Bar>> {
    let mut bars = Vec::new();
    for (name, plain) in [("a server that sends by itself", false), ("a server that has to be asked", true)] {
        let source = stage.source(BYTES, plain)?;
        let proxy = stage.proxy(&source.at)?;
        let (mut direct, mut proxied) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let look = Look { seconds, push: false };
            direct.extend(stage.look(&source.at, look)?.ages_ms());
            proxied.extend(stage.look(proxy.at(), look)?.ages_ms());
        }
        direct.sort_by(f64::total_cmp);
        proxied.sort_by(f64::total_cmp);
        let at = |at: f64| [part(&direct, at), part(&proxied, at)];
        println!(
            "\n{name}, 0 ms, age in ms   direct   by the proxy   added   ({} and {} frames)",
            direct.len(),
            proxied.len()
        );
        for (word, of) in [("median", 0.5), ("p99", 0.99)] {
            let [direct, proxied] = at(of);
            println!("  {word:>7} {direct:>34.2} {proxied:>14.2} {:>7.2}", proxied - direct);
        }
        for (word, of, bound) in [("median", 0.5, 1.0), ("p99", 0.99, 3.0)] {
            let [direct, proxied] = at(of);
            bars.push(Bar::at_most(format!("{name}: added latency, {word}"), proxied - direct, " ms", bound));
        }
    }
    Ok(bars)
}
