//! What a program needs of the machine: words to the host, an end, a count of instructions, and how
//! deep the stack has been.
//!
//! On a microcontroller the words go over semihosting, and there is **no way to panic**: the panic
//! handler calls a function that does not exist, so that a program with a panic left in it does not
//! link. This is why numbers are printed by hand here: `core::fmt` can panic.

/// Makes `$main`, a `fn() -> bool`, the program. It ends with 0 for `true` and 1 for `false`.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(all(target_os = "none", target_arch = "arm"))]
        #[cortex_m_rt::entry]
        fn start() -> ! {
            $crate::board::exit($main())
        }
        #[cfg(all(target_os = "none", target_arch = "riscv32"))]
        #[riscv_rt::entry]
        fn start() -> ! {
            $crate::board::exit($main())
        }
        #[cfg(not(target_os = "none"))]
        fn main() {
            $crate::board::exit($main())
        }
    };
}

/// Prints words and numbers one after another, then a new line.
#[macro_export]
macro_rules! line {
    ($($item:expr),*) => {{
        $($crate::board::Print::print($item);)*
        $crate::board::Print::print("\n");
    }};
}

/// What [`line!`] prints.
pub trait Print {
    fn print(self);
}

impl Print for &str {
    fn print(self) {
        self.bytes().for_each(machine::put);
    }
}

impl Print for u32 {
    fn print(self) {
        let mut power = 1_000_000_000;
        while power > 0 {
            if self >= power || power == 1 {
                machine::put(b'0' + (self / power % 10) as u8);
            }
            power /= 10;
        }
    }
}

/// Four digits after the point.
impl Print for f32 {
    fn print(self) {
        if self.is_nan() {
            return "NaN".print();
        }
        if self < 0.0 {
            "-".print();
        }
        let scaled = (self.abs() * 10_000.0 + 0.5) as u32;
        (scaled / 10_000).print();
        ".".print();
        let mut rest = scaled % 10_000;
        for _ in 0..4 {
            rest *= 10;
            (rest / 10_000).print();
            rest %= 10_000;
        }
    }
}

pub use machine::{exit, instructions, stack};

#[cfg(not(target_os = "none"))]
mod machine {
    use std::io::Write as _;

    pub(super) fn put(byte: u8) {
        std::io::stdout().write_all(&[byte]).expect("stdout is open");
    }

    /// Ends the program.
    pub fn exit(success: bool) -> ! {
        std::process::exit(i32::from(!success))
    }

    /// Instructions that `work` takes; a host does not count them.
    pub fn instructions(work: impl FnOnce()) -> u32 {
        work();
        0
    }

    /// Bytes of stack that `work` takes; a host does not count them.
    pub fn stack(work: impl FnOnce()) -> Option<u32> {
        work();
        Some(0)
    }
}

#[cfg(target_os = "none")]
mod machine {
    use core::panic::PanicInfo;

    use semihosting::sys::arm_compat::sys_writec;

    unsafe extern "C" {
        /// Does not exist.
        safe fn this_program_can_panic() -> !;
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        this_program_can_panic()
    }

    pub(super) fn put(byte: u8) {
        sys_writec(byte);
    }

    /// Ends the program.
    pub fn exit(success: bool) -> ! {
        semihosting::process::exit(i32::from(!success))
    }

    /// Instructions that `work` takes, calling it included. Under QEMU with `-icount shift=6` an
    /// instruction takes 64 ns, and a tick of the timer 40 ns (50 ns on the board with a Cortex-M33).
    #[cfg(target_arch = "arm")]
    pub fn instructions(work: impl FnOnce()) -> u32 {
        use cortex_m::peripheral::SYST;
        use cortex_m::peripheral::syst::SystClkSource;

        const TICK: u32 = if cfg!(slow_timer) { 50 } else { 40 };
        // SAFETY: this program has one thread, no interrupts, and no other use of the timer.
        let mut timer = unsafe { cortex_m::Peripherals::steal() }.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(0x00ff_ffff);
        timer.clear_current();
        timer.enable_counter();
        let before = SYST::get_current();
        work();
        let after = SYST::get_current();
        timer.disable_counter();
        let ticks = before.wrapping_sub(after) & 0x00ff_ffff;
        (u64::from(ticks) * u64::from(TICK) / 64) as u32
    }

    /// Instructions that `work` takes, calling it included. QEMU's counter counts nanoseconds of the
    /// same clock.
    #[cfg(target_arch = "riscv32")]
    pub fn instructions(work: impl FnOnce()) -> u32 {
        let before = riscv::register::minstret::read();
        work();
        (riscv::register::minstret::read().wrapping_sub(before) / 64) as u32
    }

    /// Bytes of stack that `work` takes below the frame that calls it: how much of a painted stack
    /// it changes. Nothing if it changes all of that.
    #[inline(never)]
    pub fn stack(work: impl FnOnce()) -> Option<u32> {
        const PAINT: u32 = 0x5aa5_c33c;
        const WORDS: usize = 4096;
        // Room for the frames of this function.
        const MARGIN: usize = 64;
        let mut here = 0_u32;
        let top = (&raw mut here).wrapping_sub(MARGIN);
        let bottom = top.wrapping_sub(WORDS);
        for i in 0..WORDS {
            // SAFETY: the memory below the stack pointer down to the statics is nobody's; the linker
            // scripts leave far more than 16 KiB there.
            unsafe { bottom.wrapping_add(i).write_volatile(PAINT) };
        }
        work();
        let mut untouched = 0;
        // SAFETY: as above.
        while untouched < WORDS
            && unsafe { bottom.wrapping_add(untouched).read_volatile() } == PAINT
        {
            untouched += 1;
        }
        let words = WORDS - untouched + MARGIN;
        (untouched > 0).then_some((words * size_of::<u32>()) as u32)
    }
}
