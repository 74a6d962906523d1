//! EL2's view of the plan.

#[path = "../../hyp/el2/src/state/plan_view.rs"]
#[allow(dead_code, reason = "EL2 uses more of it")]
pub mod plan_view;
