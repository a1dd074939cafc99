// Compression: LZ77 with hash chains and lazy matching, an order-0 adaptive range coder over the
// tokens' bytes, and both decoders.
#include "bench.h"
#include <string.h>

enum {
    INPUT = 192 * 1024,
    TOKENS = 2 * INPUT,
    HASH = 1 << 14,
    MIN_MATCH = 4,
    MAX_MATCH = 255 + MIN_MATCH,
    WINDOW = 1 << 15,
    CHAIN = 24,
};

static unsigned char input[INPUT], tokens[TOKENS], packed[TOKENS], unpacked[TOKENS],
    output[INPUT];
static int32_t heads[HASH], previous[WINDOW];

// Text-like data: sentences of a small grammar with repeated names and numbers.
static void generate(uint64_t *seed)
{
    static const char *const pieces[] = {
        "the ", "translator ", "register ", "reads ", "writes ", "a block ", "of ", "memory ",
        "which ", "every ", "hart ", "shares ", "when ", "it ", "is ", "called, ", "returned. ",
        "\n", "0x", "index = ", "(", ") ", "for each ", "value ",
    };
    size_t n = 0;
    while (n < INPUT) {
        const char *piece = pieces[random_below(seed, sizeof pieces / sizeof pieces[0])];
        for (; *piece != '\0' && n < INPUT; piece++)
            input[n++] = (unsigned char)*piece;
        for (uint32_t i = random_below(seed, 16); i > 12 && n < INPUT; i--)
            input[n++] = (unsigned char)"0123456789abcdef"[random_below(seed, 16)];
    }
}

static uint32_t hash_at(size_t at)
{
    uint32_t v;
    memcpy(&v, input + at, sizeof v);
    return v * 2654435761u >> 18;
}

static void remember(size_t at)
{
    if (at + MIN_MATCH > INPUT)
        return;
    uint32_t h = hash_at(at);
    previous[at % WINDOW] = heads[h];
    heads[h] = (int32_t)at;
}

static size_t longest_match(size_t at, size_t *from)
{
    size_t best = 0, limit = INPUT - at < MAX_MATCH ? INPUT - at : MAX_MATCH;
    if (limit < MIN_MATCH)
        return 0;
    int32_t candidate = heads[hash_at(at)];
    for (int i = 0; i < CHAIN && candidate >= 0 && at - (size_t)candidate < WINDOW; i++) {
        const unsigned char *p = input + candidate, *q = input + at;
        if (best == 0 || (best < limit && p[best] == q[best])) {
            size_t length = 0;
            while (length < limit && p[length] == q[length])
                length++;
            if (length > best) {
                best = length;
                *from = (size_t)candidate;
            }
        }
        candidate = previous[(size_t)candidate % WINDOW];
    }
    return best >= MIN_MATCH ? best : 0;
}

// Token: 0 and a literal; or 1, the length, and the distance in two bytes.
static size_t tokenise(void)
{
    size_t out = 0;
    for (int i = 0; i < HASH; i++)
        heads[i] = -1;
    for (size_t at = 0; at < INPUT;) {
        size_t from = 0, later = 0, length = longest_match(at, &from);
        remember(at);
        if (length != 0 && length < 32 && at + 1 < INPUT && longest_match(at + 1, &later) > length)
            length = 0;
        if (length == 0) {
            tokens[out++] = 0;
            tokens[out++] = input[at++];
            continue;
        }
        size_t distance = at - from;
        tokens[out++] = 1;
        tokens[out++] = (unsigned char)(length - MIN_MATCH);
        tokens[out++] = (unsigned char)distance;
        tokens[out++] = (unsigned char)(distance >> 8);
        for (size_t i = 1; i < length; i++)
            remember(at + i);
        at += length;
    }
    return out;
}

static size_t detokenise(const unsigned char *p, size_t length)
{
    size_t out = 0;
    for (const unsigned char *end = p + length; p < end;) {
        if (*p++ == 0) {
            output[out++] = *p++;
            continue;
        }
        size_t count = (size_t)*p++ + MIN_MATCH, distance = p[0] | (size_t)p[1] << 8;
        p += 2;
        for (; count > 0; count--, out++)
            output[out] = output[out - distance];
    }
    return out;
}

// A binary adaptive model of bytes: one probability for each node of the tree of their bits.
struct model {
    uint16_t probability[256];
};

static void reset(struct model *m)
{
    for (int i = 0; i < 256; i++)
        m->probability[i] = 1 << 11;
}

static inline void adapt(uint16_t *p, int bit)
{
    if (bit)
        *p -= *p >> 5;
    else
        *p += (4096 - *p) >> 5;
}

static size_t encode(size_t length)
{
    struct model m;
    uint32_t low = 0, high = ~0u;
    size_t out = 0;
    reset(&m);
    for (size_t i = 0; i < length; i++)
        for (unsigned node = 1, k = 8; k-- > 0;) {
            int bit = tokens[i] >> k & 1;
            uint32_t middle = low + (high - low) / 4096 * m.probability[node];
            if (bit)
                low = middle + 1;
            else
                high = middle;
            adapt(&m.probability[node], bit);
            node = node * 2 + (unsigned)bit;
            for (; (low ^ high) >> 24 == 0; low <<= 8, high = high << 8 | 0xff)
                packed[out++] = (unsigned char)(low >> 24);
        }
    for (int i = 0; i < 4; i++, low <<= 8)
        packed[out++] = (unsigned char)(low >> 24);
    return out;
}

static void decode(size_t length)
{
    struct model m;
    uint32_t low = 0, high = ~0u, code = 0;
    const unsigned char *p = packed;
    reset(&m);
    for (int i = 0; i < 4; i++)
        code = code << 8 | *p++;
    for (size_t i = 0; i < length; i++) {
        unsigned node = 1;
        while (node < 256) {
            uint32_t middle = low + (high - low) / 4096 * m.probability[node];
            int bit = code > middle;
            if (bit)
                low = middle + 1;
            else
                high = middle;
            adapt(&m.probability[node], bit);
            node = node * 2 + (unsigned)bit;
            for (; (low ^ high) >> 24 == 0; low <<= 8, high = high << 8 | 0xff)
                code = code << 8 | *p++;
        }
        unpacked[i] = (unsigned char)node;
    }
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 15, sum = CHECKSUM_START, total = 0;

    for (uint64_t i = scaled(args, 6); i > 0; i--) {
        generate(&seed);
        size_t count = tokenise(), size = encode(count);
        decode(count);
        if (detokenise(unpacked, count) != INPUT || memcmp(input, output, INPUT) != 0) {
            printf("lz: the round trip failed\n");
            return 1;
        }
        total += size;
        sum = checksum_bytes(sum, packed, size);
    }
    printf("lz: %llu bytes packed, checksum %016llx\n", (unsigned long long)total,
           (unsigned long long)sum);
    return 0;
}
