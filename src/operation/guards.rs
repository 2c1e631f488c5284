//! What was set up to keep a cluster from harm: disruption budgets, and windows for maintenance. Neither holds back what pgdeck
//! or the operator does, so they are told.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::{Looked, objects};
use crate::fleet::surroundings::Budget;
use crate::id::ClusterId;
use crate::work::entry::Light;
use crate::work::probe::{Answer, Probe};

pub(super) fn probe(cluster: &ClusterId) -> Probe {
    Probe::Budgets(cluster.clone())
}

/// What the budgets and the windows say of pods that stop, or a primary that moves, at that moment.
pub(super) fn lights(looked: &[Looked], at: Timestamp) -> Vec<Light> {
    let mut lights = budgets(looked);
    let windows = match objects(looked) {
        Ok(objects) => objects.cluster.spec.windows.clone(),
        Err(why) => {
            lights.push(Light::amber(format!("its maintenance windows are not known: {why}")));
            return lights;
        }
    };
    if windows.is_empty() {
        lights.push(Light::green("no maintenance windows are set"));
        return lights;
    }
    let listed = windows.join(", ");
    let when = at.strftime("%a %H:%M");
    let read: Option<Vec<Window>> = windows.iter().map(|window| Window::read(window)).collect();
    lights.push(match read {
        None => Light::amber(format!("its maintenance windows cannot be read: {listed}")),
        Some(read) if read.iter().any(|window| window.holds(at)) => {
            Light::green(format!("{when} is within its maintenance windows ({listed}, UTC)"))
        }
        Some(_) => Light::amber(format!(
            "{when} is outside of its maintenance windows ({listed}, UTC): the operator keeps to them for upgrades and the \
             move of a primary off its node, this does not"
        )),
    });
    lights
}

fn budgets(looked: &[Looked]) -> Vec<Light> {
    let Some((_, answer)) = looked.iter().find(|(probe, _)| matches!(probe, Probe::Budgets(_))) else {
        return Vec::new();
    };
    let budgets = match answer {
        Ok(Answer::Budgets(budgets)) => budgets,
        Ok(_) => return Vec::new(),
        Err(fault) => {
            let text = format!("its disruption budgets are not known: {fault}; {}", fault.remedy());
            return vec![Light::amber(text)];
        }
    };
    let light = |budget: &Budget| {
        let (name, rule) = (&budget.name, &budget.rule);
        match (budget.critical, budget.covered, budget.allowed) {
            (true, Some(0), _) => Light::green(format!("{name} ({rule}) covers no pod: nothing critical runs")),
            (true, Some(covered), _) => {
                Light::amber(format!("{name} ({rule}) covers {covered} pod(s): something critical runs there"))
            }
            (true, None, _) => Light::green(format!("{name} ({rule}): which pods it covers is not known")),
            (false, _, allowed) => {
                let allowed = allowed.map_or("an unknown number of".into(), |allowed| allowed.to_string());
                let text =
                    format!("{name} ({rule}) allows {allowed} disruptions: it holds back drains of nodes, not this");
                Light::green(text)
            }
        }
    };
    if budgets.is_empty() {
        return vec![Light::green("no disruption budget covers it")];
    }
    budgets.iter().map(light).collect()
}

/// One of `spec.maintenanceWindows`: `01:00-06:00` every day, `Sat:00:00-04:00` on one, in UTC
/// (the operator's `MaintenanceWindow.UnmarshalJSON`).
struct Window {
    day: Option<Weekday>,
    from: Time,
    to: Time,
}

impl Window {
    fn read(text: &str) -> Option<Window> {
        let (from, to) = text.split_once('-')?;
        let (day, from) = match from.splitn(3, ':').collect::<Vec<_>>()[..] {
            [day, hour, minute] => (Some(weekday(day)?), time(hour, minute)?),
            [hour, minute] => (None, time(hour, minute)?),
            _ => return None,
        };
        let (hour, minute) = to.split_once(':')?;
        let to = time(hour, minute)?;
        (from <= to).then_some(Window { day, from, to })
    }

    fn holds(&self, at: Timestamp) -> bool {
        let at = at.to_zoned(TimeZone::UTC).datetime();
        self.day.is_none_or(|day| day == at.weekday()) && self.from <= at.time() && at.time() <= self.to
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = [
        ("Mon", Weekday::Monday),
        ("Tue", Weekday::Tuesday),
        ("Wed", Weekday::Wednesday),
        ("Thu", Weekday::Thursday),
        ("Fri", Weekday::Friday),
        ("Sat", Weekday::Saturday),
        ("Sun", Weekday::Sunday),
    ];
    days.into_iter().find(|(name, _)| *name == text).map(|(_, day)| day)
}

fn time(hour: &str, minute: &str) -> Option<Time> {
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::id::PlaneId;

    fn told(answer: Result<Answer, Fault>) -> Vec<String> {
        let cluster = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
        let lights = lights(&[(probe(&cluster), answer)], Timestamp::UNIX_EPOCH);
        lights.iter().map(|light| format!("{:?}: {}", light.colour, light.text)).collect()
    }

    #[test]
    fn budgets_are_told_and_critical_work_is_amber() {
        let budget = |critical, covered| Budget {
            name: "pdb".into(),
            rule: "minAvailable 1".into(),
            allowed: Some(0),
            covered,
            critical,
        };
        let check = |critical, covered, expected: &str| {
            let said = told(Ok(Answer::Budgets(vec![budget(critical, covered)])));
            assert!(said[0].starts_with(expected), "{said:?}");
        };
        check(false, Some(1), "Green: pdb (minAvailable 1) allows 0 disruptions");
        check(true, Some(2), "Amber: pdb (minAvailable 1) covers 2 pod(s)");
        check(true, Some(0), "Green: pdb (minAvailable 1) covers no pod");
        check(true, None, "Green: pdb (minAvailable 1): which pods it covers is not known");
        assert_eq!(told(Ok(Answer::Budgets(Vec::new())))[0], "Green: no disruption budget covers it");
        let forbidden = Fault::Forbidden { what: "budgets".into(), needs: "list poddisruptionbudgets".into() };
        assert!(told(Err(forbidden))[0].starts_with("Amber: its disruption budgets are not known"));
    }

    /// 2026-11-21 is a Saturday.
    fn check(window: &str, at: &str, expected: Option<bool>) {
        let at: Timestamp = at.parse().unwrap();
        assert_eq!(Window::read(window).map(|window| window.holds(at)), expected, "{window} at {at}");
    }

    #[test]
    fn a_window_holds_on_its_day_between_its_times() {
        check("Sat:22:00-23:59", "2026-11-21T22:30:00Z", Some(true));
        check("Sat:22:00-23:59", "2026-11-21T21:59:00Z", Some(false));
        check("Sat:22:00-23:59", "2026-11-22T22:30:00Z", Some(false));
        check("01:00-06:00", "2026-11-22T01:00:00Z", Some(true));
        check("01:00-06:00", "2026-11-22T06:00:01Z", Some(false));
        check("06:00-01:00", "2026-11-22T06:00:01Z", None);
        check("Someday:01:00-06:00", "2026-11-22T06:00:01Z", None);
        check("always", "2026-11-22T06:00:01Z", None);
    }
}
