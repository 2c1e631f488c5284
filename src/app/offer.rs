//! Keys while an order is offered: yes, its name, its arguments, the reason, a try.

use jiff::Timestamp;

use super::operate::{look, send};
use super::{Effect, Model};
use crate::id::Text;
use crate::keymap::chord::{Chord, Code};
use crate::operation::operation;
use crate::run::Out;
use crate::screen::Dialog;
use crate::screen::confirm::{Answerable, Asking, Confirm, Wanted, Wish, answerable};
use crate::state::notice::Weight;
use crate::work::order::{Order, quoted};

/// Takes a key while an order's dialog is open.
pub(super) fn key(model: &mut Model, now: Timestamp, chord: Chord, mut confirm: Confirm, effects: &mut Vec<Effect>) {
    if let Some(asking) = confirm.asking.take() {
        asked(model, now, chord, &mut confirm, asking, effects);
        model.screen.dialog = Some(Dialog::Order(confirm));
        return;
    }
    let Some(run) = model.state.ledger.get(&confirm.run) else { return };
    let answerable = answerable(&model.state, run, now);
    let name = run.aim.cluster.name.clone();
    let is_typed = matches!(answerable, Answerable::Name | Answerable::Override);
    match (chord.code, &answerable) {
        (Code::Esc, _) => return model.state.ledger.withdraw(&confirm.run),
        (Code::Char('y'), Answerable::Yes) if !chord.ctrl && !chord.alt => {
            let reason = confirm.reason.clone();
            send(model, now, &confirm.run, "y", reason, effects);
        }
        (Code::Enter, Answerable::Override) => {
            if let Some(reason) = overridden(confirm.field.text(), &name, confirm.reason.as_deref()) {
                let how = format!("overridden by the name {name}");
                send(model, now, &confirm.run, &how, Some(reason), effects);
            } else {
                let text = format!("write: override {name} and the reason; nothing was sent");
                model.state.notices.say(now, Weight::Warning, text);
            }
        }
        (Code::Enter, Answerable::Name) if confirm.field.text() == &*name => {
            let reason = confirm.reason.clone();
            send(model, now, &confirm.run, &format!("the name {name}"), reason, effects);
        }
        (Code::Enter, Answerable::Name) => {
            let text = format!("{:?} is not its name: nothing was sent", confirm.field.text());
            model.state.notices.say(now, Weight::Warning, text);
        }
        (Code::Down | Code::PageDown, _) => confirm.scroll += 1,
        (Code::Up | Code::PageUp, _) => {
            (confirm.scroll, confirm.follows) = (confirm.scroll.saturating_sub(1), false);
        }
        _ => match Wish::of(chord, is_typed) {
            Some(wish) => grant(model, now, wish, &mut confirm, effects),
            None if is_typed => drop(confirm.field.key(chord)),
            None if chord.code == Code::Char('q') => return model.state.ledger.withdraw(&confirm.run),
            None => {}
        },
    }
    model.screen.dialog = Some(Dialog::Order(confirm));
}

/// Does what is done to an offer, other than to answer it.
fn grant(model: &mut Model, now: Timestamp, wish: Wish, confirm: &mut Confirm, effects: &mut Vec<Effect>) {
    let Some(run) = model.state.ledger.get(&confirm.run) else { return };
    let steps = run.deal.as_ref().map(|deal| &deal.steps[..]).unwrap_or_default();
    if !wish.applies(run) {
        return model.state.notices.say(now, Weight::Info, wish.why_not(run));
    }
    match wish {
        Wish::Copy => {
            let commands: Vec<String> = steps.iter().map(|step| step.order.command()).collect();
            let kubeconfig = model.state.settings.kubeconfig.as_ref();
            let first = kubeconfig.map(|path| format!("export KUBECONFIG={}", quoted(path)));
            let text = first.into_iter().chain(commands).collect::<Vec<_>>().join("\n");
            model.state.notices.say(now, Weight::Info, format!("copied: {text}"));
            effects.push(Effect::Yank(text));
        }
        Wish::Try => {
            let orders = steps.iter().map(|step| step.order.clone()).filter(Order::is_of_objects);
            effects.push(Effect::Run(confirm.run.clone(), orders.map(Out::Try).collect()));
            confirm.follows = true;
        }
        Wish::Arguments => confirm.asking = Some(Asking::arguments(run)),
        Wish::Again => {
            // By now the screen shows something else, perhaps.
            model.screen.shown = None;
            let operation = operation(run.action);
            let about = (run.aim.cluster.clone(), run.aim.member.clone(), run.aim.args.clone());
            let looked = operation.ok_or("there is no such operation".into());
            match looked.and_then(|operation| look(model, now, operation, about, None, effects)) {
                Ok(run) => replace(model, confirm, run),
                Err(why) => model.state.notices.say(now, Weight::Warning, why),
            }
        }
        Wish::Reason => confirm.asking = Some(Asking::reason(confirm.reason.as_deref())),
    }
}

/// Another run takes the place of what was offered.
fn replace(model: &mut Model, confirm: &mut Confirm, run: Text) {
    model.state.ledger.withdraw(&confirm.run);
    (confirm.run, confirm.scroll, confirm.follows) = (run, 0, false);
}

/// Takes a key while something is typed for an offer.
fn asked(
    model: &mut Model,
    now: Timestamp,
    chord: Chord,
    confirm: &mut Confirm,
    mut asking: Asking,
    effects: &mut Vec<Effect>,
) {
    match chord.code {
        Code::Esc => return,
        Code::Enter if asking.wanted == Wanted::Reason => {
            confirm.follows = true;
            confirm.reason = Some(asking.field.text().trim().to_owned()).filter(|reason| !reason.is_empty());
            return;
        }
        Code::Enter => match aim_anew(model, now, &confirm.run, asking.field.text(), effects) {
            Ok(run) => {
                replace(model, confirm, run);
                return;
            }
            Err(why) => asking.error = Some(why),
        },
        _ if asking.field.key(chord) => asking.error = None,
        _ => {}
    }
    confirm.asking = Some(asking);
}

/// The same order with other arguments: looked at from the beginning.
fn aim_anew(
    model: &mut Model,
    now: Timestamp,
    run: &Text,
    text: &str,
    effects: &mut Vec<Effect>,
) -> Result<Text, String> {
    let run = model.state.ledger.get(run).filter(|run| Wish::Arguments.applies(run)).ok_or("it is sent already")?;
    let operation = operation(run.action).ok_or("there is no such operation")?;
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let args = operation.read(&words)?;
    let (cluster, member) = (run.aim.cluster.clone(), run.aim.member.clone());
    look(model, now, operation, (cluster, member, args), None, effects)
}

/// The reason, if a red line is overridden by the right name.
fn overridden(text: &str, name: &str, given: Option<&str>) -> Option<String> {
    let rest = text.trim().strip_prefix("override ")?.trim_start().strip_prefix(name)?;
    if rest.is_empty() {
        return given.map(str::to_owned);
    }
    let reason = rest.strip_prefix(' ')?.trim();
    (!reason.is_empty()).then(|| reason.to_owned())
}
