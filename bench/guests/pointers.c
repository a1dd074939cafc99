// Pointer chasing: a shuffled linked list, merge sort of a list, and a treap.
#include "bench.h"

enum { NODES = 40000, TREE_KEYS = 30000 };

struct node {
    struct node *next;
    uint64_t value;
};

struct tree {
    struct tree *left, *right;
    uint32_t key, priority;
    uint64_t value;
};

static struct node nodes[NODES];

// Links all nodes in a random order.
static struct node *shuffled_list(uint64_t *seed)
{
    static uint32_t order[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t j = random_below(seed, i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[order[i]].value = next_random(seed);
        nodes[order[i]].next = i + 1 < NODES ? &nodes[order[i + 1]] : NULL;
    }
    return &nodes[order[0]];
}

static struct node *reverse(struct node *list)
{
    struct node *reversed = NULL;
    while (list != NULL) {
        struct node *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

static struct node *merge(struct node *a, struct node *b)
{
    struct node *head, **tail = &head;
    while (a != NULL && b != NULL) {
        struct node **smaller = a->value <= b->value ? &a : &b;
        *tail = *smaller;
        tail = &(*smaller)->next;
        *smaller = *tail;
    }
    *tail = a != NULL ? a : b;
    return head;
}

static struct node *merge_sort(struct node *list)
{
    if (list == NULL || list->next == NULL)
        return list;
    struct node *slow = list;
    for (struct node *fast = list->next; fast != NULL && fast->next != NULL;
         fast = fast->next->next)
        slow = slow->next;
    struct node *second = slow->next;
    slow->next = NULL;
    return merge(merge_sort(list), merge_sort(second));
}

static uint64_t list_sum(const struct node *list)
{
    uint64_t sum = 0;
    for (; list != NULL; list = list->next)
        sum = sum * 3 + list->value;
    return sum;
}

static struct tree *rotate_right(struct tree *t)
{
    struct tree *l = t->left;
    t->left = l->right;
    l->right = t;
    return l;
}

static struct tree *rotate_left(struct tree *t)
{
    struct tree *r = t->right;
    t->right = r->left;
    r->left = t;
    return r;
}

static struct tree *insert(struct tree *t, uint32_t key, uint64_t value, uint64_t *seed)
{
    if (t == NULL) {
        t = must_alloc(sizeof *t);
        t->left = t->right = NULL;
        t->key = key;
        t->priority = (uint32_t)next_random(seed);
        t->value = value;
    } else if (key < t->key) {
        t->left = insert(t->left, key, value, seed);
        if (t->left->priority > t->priority)
            t = rotate_right(t);
    } else if (key > t->key) {
        t->right = insert(t->right, key, value, seed);
        if (t->right->priority > t->priority)
            t = rotate_left(t);
    } else {
        t->value += value;
    }
    return t;
}

static struct tree *remove_key(struct tree *t, uint32_t key)
{
    if (t == NULL)
        return NULL;
    if (key < t->key) {
        t->left = remove_key(t->left, key);
    } else if (key > t->key) {
        t->right = remove_key(t->right, key);
    } else if (t->left == NULL || t->right == NULL) {
        struct tree *child = t->left != NULL ? t->left : t->right;
        free(t);
        t = child;
    } else if (t->left->priority > t->right->priority) {
        t = rotate_right(t);
        t->right = remove_key(t->right, key);
    } else {
        t = rotate_left(t);
        t->left = remove_key(t->left, key);
    }
    return t;
}

static const struct tree *lookup(const struct tree *t, uint32_t key)
{
    while (t != NULL && t->key != key)
        t = key < t->key ? t->left : t->right;
    return t;
}

static uint64_t tree_sum(const struct tree *t)
{
    return t == NULL ? 1 : tree_sum(t->left) * 31 + t->key + t->value + tree_sum(t->right);
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 7, sum = CHECKSUM_START;

    for (uint64_t i = scaled(args, 3); i > 0; i--) {
        struct node *list = shuffled_list(&seed);
        for (int pass = 0; pass < 60; pass++) {
            sum = checksum_add(sum, list_sum(list));
            list = reverse(list);
        }
        sum = checksum_add(sum, list_sum(merge_sort(list)));
    }
    struct tree *tree = NULL;
    uint64_t found = 0;
    for (uint64_t i = scaled(args, 150000); i > 0; i--) {
        tree = insert(tree, random_below(&seed, TREE_KEYS), i, &seed);
        if (i % 2 == 0)
            tree = remove_key(tree, random_below(&seed, TREE_KEYS));
        const struct tree *t = lookup(tree, random_below(&seed, TREE_KEYS));
        found += t != NULL ? t->value : 1;
    }
    sum = checksum_add(sum, tree_sum(tree));
    printf("pointers: found %llu, checksum %016llx\n", (unsigned long long)found,
           (unsigned long long)sum);
    return 0;
}
