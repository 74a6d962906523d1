//! Growth of costs: a doorbell's with partitions and channels, and a compute core's entries with
//! its neighbours' traffic.

use super::figure::{Figure, INSTRUCTIONS};
use super::guest::Printed;
use anyhow::{Result, ensure};

/// Numbers of partitions and of channels (between the two that send doorbells) of each system.
pub const POINTS: [(usize, usize); 9] =
    [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (2, 4), (2, 16), (2, 64)];

/// Messages that the flooded channels must have carried.
const MESSAGES: u64 = 1_000_000;

/// Returns the figures of one point.
///
/// # Errors
/// If a guest did not measure it.
pub fn figures((partitions, channels): (usize, usize), printed: &Printed) -> Result<Vec<Figure>> {
    let each = |name| printed.each(printed.span(name)?);
    let says =
        format!("a doorbell among {partitions} partitions, on the last of {channels} channels");
    let name = format!("growth.{partitions}-partitions.{channels}-channels");
    let figure = |side: &str, value| {
        let says = format!("{says}: the {side}'s core");
        Figure::new(format!("{name}.{side}"), says, INSTRUCTIONS, value)
    };
    Ok(vec![
        figure("sender", each("doorbell-send")?),
        figure("receiver", each("doorbell-receive")?),
    ])
}

/// Fails unless a doorbell costs the same at every point.
///
/// # Errors
/// If it does not.
pub fn check(figures: &[Figure]) -> Result<()> {
    for side in [".sender", ".receiver"] {
        let mut costs = figures
            .iter()
            .filter(|figure| figure.name.starts_with("growth.") && figure.name.ends_with(side));
        let Some(first) = costs.next() else { continue };
        for other in costs {
            ensure!(
                other.value == first.value,
                "a doorbell's cost grows: {} costs {}, {} costs {}",
                first.name,
                first.value,
                other.name,
                other.value
            );
        }
    }
    Ok(())
}

/// Returns the figures of the flood.
///
/// # Errors
/// If messages are missing, or the compute cores made no progress.
pub fn flood(printed: &Printed) -> Result<Vec<Figure>> {
    let sum = |name: &str| printed.values(name).iter().sum::<u64>();
    let (messages, own) = (sum("messages"), sum("own-interrupts"));
    ensure!(messages >= MESSAGES, "{messages} messages came, expected {MESSAGES}");
    ensure!(own > 0, "the compute cores did not take their own interrupts");
    let cores = printed.values("foreign-entries").len();
    ensure!(cores == 2, "{cores} compute cores reported their entries, expected 2");
    let figure = |name: &str, says: &str, unit, value: u64| {
        Figure::new(format!("flood.{name}"), says, unit, value as f64)
    };
    Ok(vec![
        figure(
            "messages",
            "messages over all channels while the compute cores work",
            "messages",
            messages,
        ),
        figure(
            "own-interrupts",
            "own interrupts of the compute cores during these messages",
            "entries",
            own,
        ),
        figure(
            "foreign-entries",
            "EL2 entries on the compute cores because of a neighbour",
            "entries",
            sum("foreign-entries"),
        )
        .at_most(0.0),
    ])
}
