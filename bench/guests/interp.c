// A bytecode interpreter: a stack machine with one big switch, running programs written for it.
#include "bench.h"

enum op {
    PUSH, LOAD, STORE, INC, ADD, SUB, MUL, DIV, MOD, AND, OR, XOR, SHL, SHR, LESS, EQUAL, NOT,
    DUP, SWAP, DROP, JUMP, JUMP_IF, JUMP_UNLESS, CALL, RETURN, FETCH, PUT, HALT,
    LABEL, // only in programs that are not assembled yet
};

struct insn {
    uint32_t op;
    int32_t operand; // of jumps: a label, after assembly the index of an instruction
};

enum { STACK = 1024, LOCALS = 8, MEMORY = 1 << 14, MAX_CODE = 64, MAX_LABELS = 16 };

struct machine {
    int64_t stack[STACK];
    int64_t locals[LOCALS];
    int64_t memory[MEMORY];
    const struct insn *returns[STACK];
    uint64_t steps;
};

static int64_t run(struct machine *m, const struct insn *code)
{
    int64_t *sp = m->stack;
    const struct insn **rp = m->returns;
    const struct insn *pc = code;
    uint64_t steps = 0;
    for (;;) {
        int32_t operand = pc->operand;
        steps++;
        switch ((enum op)pc++->op) {
        case PUSH: *sp++ = operand; break;
        case LOAD: *sp++ = m->locals[operand]; break;
        case STORE: m->locals[operand] = *--sp; break;
        case INC: m->locals[operand]++; break;
        case ADD: sp--; sp[-1] += sp[0]; break;
        case SUB: sp--; sp[-1] -= sp[0]; break;
        case MUL: sp--; sp[-1] *= sp[0]; break;
        case DIV: sp--; sp[-1] = sp[0] == 0 ? 0 : sp[-1] / sp[0]; break;
        case MOD: sp--; sp[-1] = sp[0] == 0 ? 0 : sp[-1] % sp[0]; break;
        case AND: sp--; sp[-1] &= sp[0]; break;
        case OR: sp--; sp[-1] |= sp[0]; break;
        case XOR: sp--; sp[-1] ^= sp[0]; break;
        case SHL: sp--; sp[-1] = (int64_t)((uint64_t)sp[-1] << (sp[0] & 63)); break;
        case SHR: sp--; sp[-1] = (int64_t)((uint64_t)sp[-1] >> (sp[0] & 63)); break;
        case LESS: sp--; sp[-1] = sp[-1] < sp[0]; break;
        case EQUAL: sp--; sp[-1] = sp[-1] == sp[0]; break;
        case NOT: sp[-1] = !sp[-1]; break;
        case DUP: sp[0] = sp[-1]; sp++; break;
        case SWAP: { int64_t t = sp[-1]; sp[-1] = sp[-2]; sp[-2] = t; break; }
        case DROP: sp--; break;
        case JUMP: pc = code + operand; break;
        case JUMP_IF: if (*--sp) pc = code + operand; break;
        case JUMP_UNLESS: if (!*--sp) pc = code + operand; break;
        case CALL: *rp++ = pc; pc = code + operand; break;
        case RETURN: pc = *--rp; break;
        case FETCH: sp[-1] = m->memory[sp[-1] & (MEMORY - 1)]; break;
        case PUT: sp -= 2; m->memory[sp[1] & (MEMORY - 1)] = sp[0]; break;
        case HALT: m->steps += steps; return sp[-1];
        case LABEL: break;
        }
    }
}

static int is_jump(uint32_t op)
{
    return op == JUMP || op == JUMP_IF || op == JUMP_UNLESS || op == CALL;
}

// Removes the labels and resolves the jumps to them.
static void assemble(struct insn *out, const struct insn *in, size_t count)
{
    int32_t labels[MAX_LABELS] = {0};
    int32_t at = 0;
    for (size_t i = 0; i < count; i++)
        if (in[i].op == LABEL)
            labels[in[i].operand] = at;
        else
            at++;
    for (size_t i = 0; i < count; i++)
        if (in[i].op != LABEL) {
            *out = in[i];
            if (is_jump(out->op))
                out->operand = labels[out->operand];
            out++;
        }
}

// The length of the longest Collatz chain that starts below local 0.
static const struct insn collatz[] = {
    {PUSH, 1}, {STORE, 1}, {PUSH, 0}, {STORE, 3},
    {LABEL, 0},                                       // for local 1 below local 0:
    {LOAD, 1}, {STORE, 2}, {PUSH, 1}, {STORE, 4},
    {LABEL, 1},                                       //   while local 2 != 1:
    {LOAD, 2}, {PUSH, 1}, {EQUAL, 0}, {JUMP_IF, 4},
    {INC, 4}, {LOAD, 2}, {PUSH, 1}, {AND, 0}, {JUMP_IF, 2},
    {LOAD, 2}, {PUSH, 1}, {SHR, 0}, {JUMP, 3},        //     even: halve
    {LABEL, 2},
    {LOAD, 2}, {DUP, 0}, {DUP, 0}, {ADD, 0}, {ADD, 0}, {PUSH, 1}, {ADD, 0},
    {LABEL, 3},
    {STORE, 2}, {JUMP, 1},
    {LABEL, 4},                                       //   local 3 = max(local 3, local 4)
    {LOAD, 3}, {LOAD, 4}, {LESS, 0}, {JUMP_UNLESS, 5},
    {LOAD, 4}, {STORE, 3},
    {LABEL, 5},
    {INC, 1}, {LOAD, 1}, {LOAD, 0}, {LESS, 0}, {JUMP_IF, 0},
    {LOAD, 3}, {HALT, 0},
};

// Fibonacci number of local 0, by recursion on the stack.
static const struct insn fibonacci[] = {
    {LOAD, 0}, {CALL, 0}, {HALT, 0},
    {LABEL, 0},                                       // ( n -- fib(n) )
    {DUP, 0}, {PUSH, 2}, {LESS, 0}, {JUMP_IF, 1},
    {DUP, 0}, {PUSH, 1}, {SUB, 0}, {CALL, 0},
    {SWAP, 0}, {PUSH, 2}, {SUB, 0}, {CALL, 0},
    {ADD, 0},
    {LABEL, 1},
    {RETURN, 0},
};

// Fills memory[0 .. local 0] with a pseudo-random sequence, bubbles it once, and hashes it.
static const struct insn shuffle[] = {
    {PUSH, 0}, {STORE, 1}, {PUSH, 12345}, {STORE, 2},
    {LABEL, 0},
    {LOAD, 2}, {PUSH, 1103515245}, {MUL, 0}, {PUSH, 12345}, {ADD, 0}, {PUSH, 0x7fffffff}, {AND, 0},
    {DUP, 0}, {STORE, 2}, {LOAD, 1}, {PUT, 0},
    {INC, 1}, {LOAD, 1}, {LOAD, 0}, {LESS, 0}, {JUMP_IF, 0},
    {PUSH, 1}, {STORE, 1}, {PUSH, 7}, {STORE, 2},
    {LABEL, 1},                                       // if memory[i] < memory[i-1], swap them
    {LOAD, 1}, {FETCH, 0}, {LOAD, 1}, {PUSH, 1}, {SUB, 0}, {FETCH, 0}, {LESS, 0}, {JUMP_UNLESS, 2},
    {LOAD, 1}, {FETCH, 0}, {LOAD, 1}, {PUSH, 1}, {SUB, 0}, {FETCH, 0},
    {LOAD, 1}, {PUT, 0}, {LOAD, 1}, {PUSH, 1}, {SUB, 0}, {PUT, 0},
    {LABEL, 2},
    {LOAD, 2}, {PUSH, 31}, {MUL, 0}, {LOAD, 1}, {FETCH, 0}, {XOR, 0}, {PUSH, 1000003}, {MOD, 0},
    {STORE, 2},
    {INC, 1}, {LOAD, 1}, {LOAD, 0}, {LESS, 0}, {JUMP_IF, 1},
    {LOAD, 2}, {HALT, 0},
};

static struct machine machine;

static int64_t execute(const struct insn *program, size_t count, int64_t argument)
{
    struct insn code[2 * MAX_CODE];
    assemble(code, program, count);
    machine.locals[0] = argument;
    return run(&machine, code);
}

#define EXECUTE(program, argument) execute(program, sizeof program / sizeof program[0], argument)

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    long long chain = EXECUTE(collatz, (int64_t)scaled(args, 40000));
    long long fib = 0, hash = 0;
    for (uint64_t i = scaled(args, 10); i > 0; i--)
        fib += EXECUTE(fibonacci, 20);
    for (uint64_t i = scaled(args, 30); i > 0; i--)
        hash ^= EXECUTE(shuffle, MEMORY - (int64_t)i);
    printf("interp: chain %lld, fib %lld, hash %lld, %llu steps\n", chain, fib, hash,
           (unsigned long long)machine.steps);
    return 0;
}
