//! Target `tree`: EL2's machine check over any boot device tree, with a good plan. It accepts, or
//! refuses in one line. The loader guarantees that a tree's bytes are there, so a size beyond the
//! input is cut to it.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use plan::{PAGE, Range};

pub use crate::boot::machine::Checked;
use crate::boot::{end::Refused, machine};
use crate::state::plan_view::PlanView;
use crate::support::{self, Parts};

/// EL2's answer to a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The machine matches the plan; boot continues with this.
    Covers(Checked),
    /// The line of the refusal.
    Refused(String),
}

/// The image's place, chosen for the loader: in RAM that the plan uses.
pub const IMAGE: Range = Range { base: 0x7800_0000, size: 0x0010_0000 };
/// Bytes of a tree's header.
const HEADER: usize = 40;

/// Runs one input: a flattened device tree.
pub fn run(data: &[u8]) {
    if let Answer::Refused(line) = answer(data) {
        assert!(line.starts_with("bulkhead: refused: ") && line.len() > 40, "{line}");
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
    }
}

/// Returns EL2's answer.
pub fn answer(data: &[u8]) -> Answer {
    answer_of(good_plan(), data)
}

/// Returns EL2's answer if the board gives the plan this range, although the tree may reserve it.
pub fn answer_reclaiming(base: u64, size: u64, data: &[u8]) -> Answer {
    let mut system = support::duo().system;
    system.board.reclaimed = vec![manifest::system::Range { base, size }];
    answer_of(&loaded(&support::compile(&system, |_, _| ())), data)
}

/// Returns EL2's answer if the image is that of the first system for the Raspberry Pi 4.
pub fn answer_on_rpi4(data: &[u8]) -> Answer {
    answer_of(&loaded(&support::rpi4().image), data)
}

/// Returns EL2's answer to a loader that enters at exception level `level`.
pub fn answer_at(level: u64, data: &[u8]) -> Answer {
    answer_from(level, good_plan(), data)
}

fn answer_of(plan: &PlanView, data: &[u8]) -> Answer {
    answer_from(2, plan, data)
}

fn answer_from(level: u64, plan: &PlanView, data: &[u8]) -> Answer {
    // The tree is copied by eight bytes: aligned as the boot protocol requires, and always with
    // room for a header.
    let mut tree = vec![0u64; data.len().max(HEADER).div_ceil(8)];
    for (word, bytes) in tree.iter_mut().zip(data.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    let held = 8 * tree.len() as u32;
    // Bytes 4 to 7, big-endian: the tree's size.
    let claimed = (tree[0] >> 32) as u32;
    if claimed.swap_bytes() > held {
        tree[0] = tree[0] & 0xffff_ffff | u64::from(held.swap_bytes()) << 32;
    }
    let result =
        catch_unwind(AssertUnwindSafe(|| machine::check(tree.as_ptr() as u64, level, plan, IMAGE)));
    match result {
        Ok(checked) => Answer::Covers(checked),
        Err(why) => match why.downcast::<Refused>() {
            Ok(refused) => Answer::Refused(String::from_utf8_lossy(&refused.0).into_owned()),
            Err(why) => panic::resume_unwind(why),
        },
    }
}

/// The plan of the system `duo`.
fn good_plan() -> &'static PlanView {
    static PLAN: OnceLock<PlanView> = OnceLock::new();
    PLAN.get_or_init(|| loaded(&support::duo().image))
}

/// Returns the plan of `image`, aligned as in memory, which stays as long as this process.
fn loaded(image: &[u8]) -> PlanView {
    let bytes = &image[Parts::of(image).plan..];
    let room = vec![0; bytes.len() + PAGE as usize].leak();
    let start = room.as_ptr().align_offset(PAGE as usize);
    room[start..start + bytes.len()].copy_from_slice(bytes);
    PlanView::at(room[start..].as_ptr() as u64)
}
