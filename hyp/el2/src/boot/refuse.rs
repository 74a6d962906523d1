//! Refusals to boot: one line that names what the plan needs and what the machine has, then power
//! off.

use console::LineBuffer;

use crate::state::plan_view::PlanView;

/// Refuses with a line of the given parts, each a method of [`LineBuffer`] and its argument. The
/// line says what does not fit, and names both sides.
macro_rules! refuse {
    ($($part:ident $value:expr),+ $(,)?) => {{
        let mut line = $crate::boot::refuse::refusal();
        $(line.$part($value);)+
        $crate::boot::end::refused(&mut line)
    }};
}
pub(crate) use refuse;

/// Returns the start of a refusal, for lines that a loop writes.
pub fn refusal() -> LineBuffer {
    let mut line = LineBuffer::default();
    line.str("bulkhead: refused: ");
    line
}

/// Refuses a machine whose interrupt controller differs from the plan, as `words` say.
pub fn refuse_gic(words: &LineBuffer) -> ! {
    refuse!(name words.as_bytes())
}

/// Refuses an image whose plan does not have the CRC32C that its header says.
pub fn if_damaged(plan: &PlanView) {
    let crc = plan.crc();
    if crc != plan.header.crc {
        refuse!(str "plan: its CRC32C is ", hex crc.into(), str ", its header says ",
            hex plan.header.crc.into(), str ": the image is damaged")
    }
}
