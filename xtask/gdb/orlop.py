"""Commands for GDB at a machine that runs Orlop; `cargo xtask run --gdb` has GDB read this file.

orlop-program [FILE]  run until the program begins, and load its symbols where it lies
orlop-tasks           every thread with its state and, unless a CPU runs it, its calls in the kernel

Nothing of the kernel is called: all is read from its memory, by the types in its debug information. A CPU is one of GDB's threads.
"""

import contextlib
import os
import re
import struct

import gdb

# Where `pc` lies among a program's saved registers, which are Linux's `pt_regs` and `user_pt_regs`; the function that enters the program
# with them; and the register with their address.
ARCHES = {
    "x86_64": ("hal::arch::x86_64::user::enter_user_mode", "rdi", 16 * 8),
    "aarch64": ("hal::arch::aarch64::user::enter", "x0", 32 * 8),
}
# The longest chain of calls that is shown.
FRAMES = 24
KERNEL_HALF = 1 << 63


def arch():
    name = gdb.selected_inferior().architecture().name()
    return "aarch64" if name.startswith("aarch64") else "x86_64"


def read(address, size):
    return gdb.selected_inferior().read_memory(address, size).tobytes()


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


@contextlib.contextmanager
def kernel_view():
    """Has memory read as the kernel sees it, whatever the CPU runs: QEMU reads with the rights of AArch64's current exception level."""
    if arch() != "aarch64":
        yield
        return
    state = int(gdb.parse_and_eval("$cpsr")) & 0xFFFFFFFF
    # EL1 with a stack of its own, and without PAN (PSTATE: C5.2.18).
    gdb.execute(f"set $cpsr = {state & ~0xF & ~(1 << 22) | 5}")
    try:
        yield
    finally:
        gdb.execute(f"set $cpsr = {state}")


def address_of(function):
    # Naked functions have symbols, with a hash behind their names, and no debug information.
    said = gdb.execute(f"info functions ^{function}\\(::h[0-9a-f]*\\)*$", to_string=True)
    found = re.search("0x[0-9a-f]{8,}", said)
    if not found:
        raise gdb.GdbError(f"the kernel has no function {function}")
    return int(found.group(), 16)


class Elf:
    """What a program's file says of where it begins."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.is_relocatable = struct.unpack_from("<H", self.bytes, 16)[0] == 3
        (self.entry, table) = struct.unpack_from("<QQ", self.bytes, 24)
        (size, count) = struct.unpack_from("<HH", self.bytes, 54)
        for row in range(count):
            (kind, _, offset, start, _, length) = struct.unpack_from("<IIQQQQ", self.bytes, table + row * size)
            if kind == 1 and start <= self.entry < start + length:
                begin = offset + self.entry - start
                self.code = self.bytes[begin : begin + min(16, start + length - self.entry)]

    def may_be_at(self, pc):
        return pc % 4096 == self.entry % 4096

    def is_at(self, pc):
        """Whether the program in memory begins there. Asked in the program: the kernel may be kept from its memory (PAN)."""
        try:
            return read(pc, len(self.code)) == self.code
        except gdb.MemoryError:
            return False


class Entry(gdb.Breakpoint):
    """Stops where the kernel enters what may be the beginning of a program."""

    def __init__(self, elf):
        (function, self.register, self.offset) = ARCHES[arch()]
        self.elf = elf
        self.pc = None
        super().__init__(f"*{address_of(function):#x}", internal=True)
        self.silent = True

    def stop(self):
        registers = int(gdb.selected_frame().read_register(self.register)) & (2**64 - 1)
        self.pc = word(registers + self.offset)
        return self.elf.may_be_at(self.pc)


class Program(gdb.Command):
    """Run until the program begins, and load its symbols where it lies: orlop-program [FILE]."""

    def __init__(self):
        super().__init__("orlop-program", gdb.COMMAND_RUNNING, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        path = argument or globals().get("PROGRAM")
        if not path:
            raise gdb.GdbError("which program? orlop-program FILE")
        elf = Elf(os.path.expanduser(path))
        entry = Entry(elf)
        while True:
            gdb.execute("continue", to_string=True)
            if not gdb.selected_inferior().pid:
                raise gdb.GdbError("the machine ended before the program began")
            pc = entry.pc
            if pc is None or not elf.may_be_at(pc):
                raise gdb.GdbError("the machine stopped before the program began")
            # Where its page is not there yet, the program is entered once more when it is.
            gdb.Breakpoint(f"*{pc:#x}", temporary=True, internal=True).silent = True
            entry.enabled = False
            gdb.execute("continue", to_string=True)
            if elf.is_at(pc):
                break
            entry.enabled = True
        entry.delete()
        offset = pc - elf.entry if elf.is_relocatable else 0
        gdb.execute(f"add-symbol-file {path} -o {offset:#x}", to_string=True)
        print(f"{os.path.basename(path)} begins at {pc:#x}")


def field(value, name):
    """The field of this name in a value, or in what the value wraps."""
    wrappers = [value]
    while wrappers:
        value = wrappers.pop(0)
        if value.type.strip_typedefs().code != gdb.TYPE_CODE_STRUCT:
            continue
        fields = [each.name for each in value.type.fields()]
        if name in fields:
            return value[name]
        wrappers += [value[each] for each in fields if each]
    raise gdb.GdbError(f"the kernel has no {name} where it is looked for: does this script know it still?")


def at(address, kind):
    """The value of this type that lies there."""
    return gdb.Value(int(address)).cast(kind.pointer()).dereference()


def bytes_of(value):
    return read(int(value.address), value.type.sizeof)


def pointers(value):
    """The bytes of a value, as words."""
    return struct.unpack(f"<{value.type.sizeof // 8}Q", bytes_of(value)[: value.type.sizeof // 8 * 8])


def counted(value, type_name):
    """What an `Arc` or `Weak` of this type refers to, which may be within an `Option` or `Once`; `None` for none."""
    inner = gdb.lookup_type(f"alloc::sync::ArcInner<{type_name}>")
    address = next((each for each in pointers(value) if each & KERNEL_HALF and each != 2**64 - 1), None)
    return at(address, inner)["data"] if address else None


def entries(tree):
    """The values of a `BTreeMap`, in order."""

    def of_node(node, height):
        internal = node.cast(internal_type.pointer()).dereference() if height else None
        leaf = node.dereference()
        for index in range(int(leaf["len"])):
            if height:
                yield from of_node(edge(internal, index), height - 1)
            yield at(leaf["vals"][index].address, value)
        if height:
            yield from of_node(edge(internal, int(leaf["len"])), height - 1)

    def edge(internal, index):
        return at(pointers(internal["edges"][index])[0], leaf_type).address

    if int(tree["length"]) == 0:
        return
    (key, value) = (tree.type.template_argument(0), tree.type.template_argument(1))
    leaf_type = gdb.lookup_type(f"alloc::collections::btree::node::LeafNode<{key}, {value}>")
    internal_type = gdb.lookup_type(f"alloc::collections::btree::node::InternalNode<{key}, {value}>")
    # The root is a node and its height, in this order or the other.
    (node, height) = sorted(pointers(tree["root"]), reverse=True)
    yield from of_node(at(node, leaf_type).address, height)


def chain(pc, frame):
    """The addresses of a chain of calls: the caller's record, then the return address, on both architectures."""
    for _ in range(FRAMES):
        if pc & KERNEL_HALF == 0:
            return
        yield pc
        try:
            (caller, pc) = (word(frame), word(frame + 8))
        except gdb.MemoryError:
            return
        if caller <= frame:
            caller = 0
        frame = caller


def saved(task):
    """Where a task goes on that no CPU runs, and its frame pointer."""
    context = field(task["own"], "context")
    if arch() == "aarch64":
        return int(context["link"]), int(context["frame_pointer"])
    # Six registers, the last of them rbp, and the return address (`hal/src/arch/x86_64/context.rs`).
    stack = pointers(context)[0]
    return word(stack + 48), word(stack + 40)


def place(pc):
    """An address that stands behind a call, as function, file and line."""
    function = gdb.execute(f"info symbol {pc - 1:#x}", to_string=True).split(" in section")[0].strip()
    function = re.sub("::h[0-9a-f]{16}", "", function)
    line = gdb.find_pc_line(pc - 1)
    return f"{function}  {line.symtab.filename}:{line.line}" if line.symtab else function


class Tasks(gdb.Command):
    """Every thread with its state and, unless a CPU runs it, its calls in the kernel."""

    def __init__(self):
        super().__init__("orlop-tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        with kernel_view():
            slots = field(gdb.parse_and_eval("orlop::process::table::TABLE"), "slots")
            for slot in entries(slots):
                thread = counted(slot["thread"], "orlop::process::thread::Thread")
                if thread is not None:
                    self.show(thread)

    def show(self, thread):
        name = array(thread["name"]).split(b"\0")[0].decode(errors="replace")
        title = f"{number(thread['id']):>6} {name}:"
        task = counted(thread["task"], "hal::task::Task")
        if task is None:
            print(f"{title} not started, or ended")
            return
        cpu = number(task["cpu"])
        if number(task["on_cpu"]):
            print(f"{title} on CPU {cpu}, which is thread {cpu + 1}")
            return
        print(f"{title} last on CPU {cpu}")
        (pc, frame) = saved(task)
        for each in chain(pc, frame):
            print(f"           {each:#018x} {place(each)}")


def number(value):
    """The number in an atomic word or cell."""
    return int.from_bytes(bytes_of(value), "little")


def array(value):
    """The bytes of the array within a lock."""
    wrappers = [value]
    while wrappers:
        value = wrappers.pop(0)
        if value.type.strip_typedefs().code == gdb.TYPE_CODE_ARRAY:
            return bytes_of(value)
        if value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
            wrappers += [value[each] for each in value.type.fields()]
    raise gdb.GdbError("there is no array")


gdb.execute("set language rust")
gdb.execute("set pagination off")
gdb.execute("set confirm off")
Program()
Tasks()
