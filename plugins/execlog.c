/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * execlog: a line for each executed instruction: vCPU, address, encoding, disassembly, then its memory
 * accesses and the registers that it changed.
 *
 *   ifilter=TEXT          only instructions whose disassembly begins with TEXT (may be repeated)
 *   afilter=ADDR[+LEN]    only instructions at this address, or in this range (may be repeated)
 *   reg=PATTERN           show changes of the registers with this name; * and ? match (may be repeated)
 *   rdisas=on             look only at those registers that the disassembly names
 *
 * A line is complete when the next instruction begins: only then it is known what has changed. The last
 * line of a vCPU is written when it exits.
 */
#include <fnmatch.h>

#include "common.h"
#include "garray.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { MAX_FILTERS = 32, MAX_VALUE = 256 };

struct range {
    uint64_t start, length;
};

static const char *text_filters[MAX_FILTERS], *register_patterns[MAX_FILTERS];
static struct range address_filters[MAX_FILTERS];
static size_t n_text_filters, n_address_filters, n_register_patterns;
static bool only_named;

/* The registers that are watched: found when the first vCPU begins, the same for all, never changed. */
struct watched {
    struct qemu_plugin_register *handle;
    char *name;
};

static struct watched *watched;
static size_t n_watched;
static pthread_once_t found_registers = PTHREAD_ONCE_INIT;

/* An instruction that is logged; one for each, however often it is translated. Kept until the plugin
 * goes: translations come and go, and the line of one may still be open. */
struct logged {
    uint64_t address;
    uint32_t encoding;
    char *text;
    /* Of the watched registers, those to look at: all, or those that the text names. */
    size_t *registers;
    size_t n_registers;
};

struct value {
    uint8_t bytes[MAX_VALUE];
    unsigned int size;
};

/* A vCPU's own: a scoreboard element, first used when the vCPU begins. */
struct cpu {
    uint64_t open; /* a line has been begun; an inline condition reads it */
    const struct logged *insn;
    char *line;
    size_t length, capacity;
    GByteArray *buffer;
    struct value *last; /* of each watched register */
};

static struct table known = TABLE;
static struct qemu_plugin_scoreboard *board;

__attribute__((format(printf, 2, 3))) static void append(struct cpu *cpu, const char *format, ...)
{
    for (;;) {
        va_list args;
        va_start(args, format);
        size_t room = cpu->capacity - cpu->length;
        /* The pointer stays NULL only while the room is 0. */
        int length = vsnprintf(room > 0 ? cpu->line + cpu->length : NULL, room, format, args);
        va_end(args);
        if ((size_t)length < room) {
            cpu->length += (size_t)length;
            return;
        }
        cpu->capacity = 2 * cpu->capacity + (size_t)length + 256;
        cpu->line = need(realloc(cpu->line, cpu->capacity));
    }
}

static void read_value(struct cpu *cpu, size_t index, struct value *value)
{
    garray.bytes_set_size(cpu->buffer, 0);
    /* What was appended tells in every version how much there is. */
    (void)qemu_plugin_read_register(watched[index].handle, cpu->buffer);
    value->size = cpu->buffer->len <= MAX_VALUE ? cpu->buffer->len : MAX_VALUE;
    memcpy(value->bytes, cpu->buffer->data, value->size);
}

static void append_changes(struct cpu *cpu)
{
    for (size_t i = 0; i < cpu->insn->n_registers; i++) {
        size_t index = cpu->insn->registers[i];
        struct value now, *last = &cpu->last[index];
        read_value(cpu, index, &now);
        if (now.size == last->size && memcmp(now.bytes, last->bytes, now.size) == 0) {
            continue;
        }
        append(cpu, ", %s -> 0x", watched[index].name);
        for (size_t byte = now.size; byte > 0; byte--) {
            append(cpu, "%02x", now.bytes[byte - 1]);
        }
        *last = now;
    }
}

static void end_line(struct cpu *cpu, bool with_registers)
{
    if (!cpu->open) {
        return;
    }
    if (with_registers) {
        append_changes(cpu);
    }
    append(cpu, "\n");
    qemu_plugin_outs(cpu->line);
    cpu->open = false;
    cpu->length = 0;
}

/* Without filters this runs before each instruction, and ends the line of the one before. */
static void executed(unsigned int vcpu, void *data)
{
    struct cpu *cpu = qemu_plugin_scoreboard_find(board, vcpu);
    const struct logged *insn = data;
    end_line(cpu, true);
    cpu->open = true;
    cpu->insn = insn;
    append(cpu, "%u, 0x%" PRIx64 ", 0x%" PRIx32 ", \"%s\"", vcpu, insn->address, insn->encoding,
           insn->text);
}

/* Before an instruction that is not logged: the line of one that was. */
static void executed_silently(unsigned int vcpu, void *data UNUSED)
{
    end_line(qemu_plugin_scoreboard_find(board, vcpu), true);
}

static void accessed(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address,
                     void *data UNUSED)
{
    struct cpu *cpu = qemu_plugin_scoreboard_find(board, vcpu);
    const char *kind = qemu_plugin_mem_is_store(info) ? "store" : "load";
    struct qemu_plugin_hwaddr *physical = qemu_plugin_get_hwaddr(info, address);
    if (!cpu->open) {
        return;
    } else if (physical == NULL) {
        append(cpu, ", %s, 0x%" PRIx64, kind, address);
    } else {
        append(cpu, ", %s, 0x%" PRIx64 ", %s", kind, qemu_plugin_hwaddr_phys_addr(physical),
               qemu_plugin_hwaddr_device_name(physical));
    }
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Whether `name` stands in `text` as an operand, so not in the mnemonic and not within another name. */
static bool text_names(const char *text, const char *name)
{
    size_t length = strlen(name);
    const char *operands = strchr(text, ' ');
    for (const char *at = operands; at != NULL; at++) {
        at = strstr(at, name);
        if (at == NULL) {
            break;
        }
        if (!is_name_char(at[-1]) && !is_name_char(at[length])) {
            return true;
        }
    }
    /* The list of registers calls the frame pointer by its other name. */
    return strcmp(name, "fp") == 0 && text_names(text, "s0");
}

static struct logged *make_logged(uint64_t address, uint32_t encoding, char *text)
{
    struct logged *logged = need(calloc(1, sizeof(*logged)));
    logged->address = address;
    logged->encoding = encoding;
    logged->text = text;
    logged->registers = need(malloc((n_watched + 1) * sizeof(*logged->registers)));
    for (size_t i = 0; i < n_watched; i++) {
        if (!only_named || text_names(text, watched[i].name)) {
            logged->registers[logged->n_registers++] = i;
        }
    }
    return logged;
}

/* Takes the text. */
static struct logged *logged_insn(struct qemu_plugin_insn *insn, char *text)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    uint32_t encoding = insn_encoding(insn);
    pthread_mutex_lock(&known.lock);
    void **slot = table_slot(&known, address, encoding);
    if (*slot == NULL) {
        *slot = make_logged(address, encoding, text);
    } else {
        free(text);
    }
    struct logged *logged = *slot;
    pthread_mutex_unlock(&known.lock);
    return logged;
}

static bool passes(struct qemu_plugin_insn *insn, const char *text)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (n_text_filters == 0 && n_address_filters == 0) {
        return true;
    }
    for (size_t i = 0; i < n_text_filters; i++) {
        if (strncmp(text, text_filters[i], strlen(text_filters[i])) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < n_address_filters; i++) {
        if (address - address_filters[i].start < address_filters[i].length) {
            return true;
        }
    }
    return false;
}

CB_TB_TRANS(translated)
{
    enum qemu_plugin_cb_flags flags = n_watched > 0 ? QEMU_PLUGIN_CB_R_REGS : QEMU_PLUGIN_CB_NO_REGS;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        char *text = need(qemu_plugin_insn_disas(insn));
        if (passes(insn, text)) {
            struct logged *logged = logged_insn(insn, text);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, flags, logged);
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
            continue;
        }
        free(text);
#if QEMU_PLUGIN_VERSION >= 3
        qemu_plugin_u64 open = qemu_plugin_scoreboard_u64_in_struct(board, struct cpu, open);
        qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, executed_silently, flags,
                                                    QEMU_PLUGIN_COND_NE, open, 0, NULL);
#else
        qemu_plugin_register_vcpu_insn_exec_cb(insn, executed_silently, flags, NULL);
#endif
    }
}

/* Once, on the thread of the first vCPU: there is no list of registers before. */
static void find_registers(void)
{
    GArray *list = qemu_plugin_get_registers();
    const qemu_plugin_reg_descriptor *all = (const void *)list->data;
    watched = need(malloc((list->len + 1) * sizeof(*watched)));
    for (size_t i = 0; i < list->len; i++) {
        for (size_t pattern = 0; pattern < n_register_patterns; pattern++) {
            if (fnmatch(register_patterns[pattern], all[i].name, 0) == 0) {
                watched[n_watched++] = (struct watched){ all[i].handle, need(strdup(all[i].name)) };
                break;
            }
        }
    }
    garray.array_free(list, true);
    if (n_watched == 0) {
        fprintf(stderr, "execlog: no register has such a name: %s\n", register_patterns[0]);
    }
}

CB_VCPU(started)
{
    struct cpu *cpu = qemu_plugin_scoreboard_find(board, vcpu);
    if (n_register_patterns == 0) {
        return;
    }
    pthread_once(&found_registers, find_registers);
    if (cpu->buffer == NULL) {
        cpu->buffer = garray.bytes_new();
        cpu->last = need(calloc(n_watched + 1, sizeof(*cpu->last)));
    }
    for (size_t i = 0; i < n_watched; i++) {
        read_value(cpu, i, &cpu->last[i]);
    }
}

CB_VCPU(stopped)
{
    end_line(qemu_plugin_scoreboard_find(board, vcpu), true);
}

CB_ATEXIT(report)
{
    keep_all();
    for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        /* There are no registers to read any more. */
        end_line(qemu_plugin_scoreboard_find(board, (unsigned)vcpu), false);
    }
}

static void release(void *value)
{
    struct logged *logged = value;
    free(logged->registers);
    free(logged->text);
    free(logged);
}

static void cpu_free(struct cpu *cpu)
{
    free(cpu->line);
    free(cpu->last);
    if (cpu->buffer != NULL) {
        /* A GByteArray is a GArray of bytes. */
        garray.array_free((GArray *)cpu->buffer, true);
    }
}

CB_UNLOAD(unload)
{
    for (int vcpu = 0; board != NULL && vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        cpu_free(qemu_plugin_scoreboard_find(board, (unsigned)vcpu));
    }
    board_free(board);
    for (size_t i = 0; i < n_watched; i++) {
        free(watched[i].name);
    }
    free(watched);
    table_free(&known, release);
}

static bool arg_filter(const char *arg, const char *name, const char **list, size_t *count)
{
    if (*count == MAX_FILTERS || !arg_text(arg, name, &list[*count])) {
        return false;
    }
    ++*count;
    return true;
}

static bool arg_address_filter(const char *arg)
{
    const char *value = arg_value(arg, "afilter");
    if (value == NULL || *value == '\0' || n_address_filters == MAX_FILTERS) {
        return false;
    }
    char *end;
    struct range range = { strtoull(value, &end, 16), 1 };
    if (*end == '+' && end[1] != '\0') {
        range.length = strtoull(end + 1, &end, 0);
    }
    if (*end != '\0') {
        return false;
    }
    address_filters[n_address_filters++] = range;
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_filter(argv[i], "ifilter", text_filters, &n_text_filters)
            && !arg_filter(argv[i], "reg", register_patterns, &n_register_patterns)
            && !arg_address_filter(argv[i]) && !arg_bool(argv[i], "rdisas", &only_named)) {
            return arg_refused("execlog", argv[i]);
        }
    }
    if (n_register_patterns > 0 && !garray_load("execlog")) {
        return -1;
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct cpu));
    on_vcpu_init(id, started);
    on_vcpu_exit(id, stopped);
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
