// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much stack the kernel programs need on the oldest kernels, read from the object.
//!
//! The kernel gives a program and all it calls 512 bytes. Older verifiers, Linux 6.1's among them, count each frame in
//! steps of 32 bytes, newer ones in steps of 16: a program may load where it is built and tested, and be refused
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, Section, SymbolKind,
};

use crate::kernel::programs::OBJECT;

const ROOM: u32 = 512;
const STEP: u32 = 32;
/// The register that holds the frame's upper end.
const FRAME: u8 = 10;

/// A section, and the offset of a function in it.
type Place = (usize, u64);

#[derive(Default)]
struct Function {
    depth: u32,
    calls: BTreeSet<Place>,
}

/// An instruction; those of two words count as two.
struct Instruction {
    code: u8,
    dst: u8,
    src: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    fn new(bytes: &[u8; 8]) -> Self {
        let [code, registers, o0, o1, i0, i1, i2, i3] = *bytes;
        Self {
            code,
            dst: registers & 15,
            src: registers >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            immediate: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    /// How far below the frame's upper end it reads or writes.
    fn reach(&self) -> u32 {
        let base = match self.code & 7 {
            1 => self.src,
            2 | 3 => self.dst,
            _ => return 0,
        };
        if base == FRAME {
            u32::from(self.offset.unsigned_abs())
        } else {
            0
        }
    }

    /// The register that becomes the frame's upper end.
    fn points_to_frame(&self) -> Option<u8> {
        (self.code == 0xbf && self.src == FRAME).then_some(self.dst)
    }

    fn adds_to(&self, register: u8) -> bool {
        self.code == 0x07 && self.dst == register
    }

    /// A call of a function of the object, not of a helper.
    fn is_local_call(&self) -> bool {
        self.code == 0x85 && self.src == 1
    }
}

#[derive(Default)]
struct Programs {
    functions: BTreeMap<Place, Function>,
    /// Where the kernel comes in, by name.
    entries: BTreeMap<String, Place>,
}

impl Programs {
    fn read(file: &File<'_>) -> Self {
        let mut programs = Self::default();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let section = symbol.section_index().expect("a section of its own");
            let section = file.section_by_index(section).expect("a section");
            let place = (section.index().0, symbol.address());
            if section.name() != Ok(".text") {
                let name = symbol.name().expect("a name").to_owned();
                programs.entries.insert(name, place);
            }
            let (start, size) = (symbol.address() as usize, symbol.size() as usize);
            let code = &section.data().expect("its bytes")[start..start + size];
            let mut function = Function::default();
            for at in function.read(code) {
                let at = symbol.address() + at;
                function.calls.insert(callee(file, &section, at));
            }
            programs.functions.insert(place, function);
        }
        programs
    }
}

impl Function {
    /// How deep it goes; and where it calls others.
    fn read(&mut self, code: &[u8]) -> Vec<u64> {
        let (mut calls, mut pointer) = (Vec::new(), None);
        for (number, bytes) in code.as_chunks().0.iter().enumerate() {
            let instruction = Instruction::new(bytes);
            self.depth = self.depth.max(instruction.reach());
            if pointer.is_some_and(|register| instruction.adds_to(register)) {
                self.depth = self.depth.max(instruction.immediate.unsigned_abs());
            }
            pointer = instruction.points_to_frame();
            if instruction.is_local_call() {
                calls.push(8 * number as u64);
            }
        }
        calls
    }
}

/// The function that is called at a place of a section: so many instructions ahead, or behind a symbol.
fn callee(file: &File<'_>, section: &Section<'_, '_>, at: u64) -> Place {
    let code = section.data().expect("its bytes");
    let bytes = code[at as usize..].first_chunk().expect("a whole instruction");
    let ahead = 8 * (i64::from(Instruction::new(bytes).immediate) + 1);
    let mut relocations = section.relocations();
    let (index, from) = match relocations.find(|(place, _)| *place == at) {
        None => (section.index(), at),
        Some((_, relocation)) => {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("a call to {:?}", relocation.target())
            };
            let symbol = file.symbol_by_index(symbol).expect("a symbol");
            (symbol.section_index().expect("a section"), symbol.address())
        }
    };
    (index.0, from.wrapping_add_signed(ahead))
}

/// The stack of the deepest chain of calls from here.
fn deepest(functions: &BTreeMap<Place, Function>, place: Place) -> u32 {
    let function = &functions[&place];
    let below = function.calls.iter().map(|call| deepest(functions, *call));
    function.depth.max(1).next_multiple_of(STEP) + below.max().unwrap_or(0)
}

/// The figures are those of docs/adr/0003.
#[test]
fn programs_fit_the_stack_as_old_kernels_count_it() {
    if OBJECT.is_empty() {
        eprintln!("*** SKIPPED: shunt was built without its kernel programs ***");
        return;
    }
    let file = File::parse(OBJECT).expect("an ELF file");
    let Programs { functions, entries } = Programs::read(&file);
    assert!(entries.len() > 4, "entry points: {entries:?}");
    for (name, place) in entries {
        let stack = deepest(&functions, place);
        eprintln!("{name}: {stack} bytes of stack");
        assert!(stack <= ROOM, "{name} needs {stack} bytes of stack");
    }
}
