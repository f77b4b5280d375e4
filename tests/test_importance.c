/* test_importance.c - what counts how much: rows by gradients; bits of the ends, floats of vectors
 * SPDX-License-Identifier: MIT */
#include "compress/importance.h"
#include "uneven.h"

/* Rows' weights have a mean of 1 and a floor; behind the last attention the class token alone is above
 * it; a network without logits has none. */
static void test_importance(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m = vit();
    vise_change c;
    vise_prefix p;
    vise_dense d;
    vise_importance w;
    vise_data *data = pictures();
    const vise_eval_opts o = {.data = data, .threads = 2};
    MUST(vise_change_open(&c, m, &o, &e));
    MUST(vise_prefix_open(&p, &c, 4, &e));
    MUST(vise_dense_open(&d, 2, NULL, &e));
    MUST(vise_importance_open(&w, &p, &d, &e));
    const vise_graph *g = &m->graph;
    size_t found = 0;
    for (size_t i = 0; i < g->nodes; i++) {
        if (!w.row[i]) continue;
        const vise_shape *y = &g->value[g->node[i].out].shape;
        const size_t rows = vise_shape_count(y) / y->dim[y->rank - 1], n = rows * p.pictures;
        const bool last = strstr(g->node[i].name, "blocks.1.mlp") != NULL;
        double sum = 0;
        for (size_t k = 0; k < n; k++) {
            sum += (double)w.row[i][k];
            assert_true(w.row[i][k] > 0.0999f);
            if (last && k % rows) assert_true(w.row[i][k] < 0.1001f);
        }
        assert_true(fabs(sum / (double)n - 1) <= 1e-4);
        found += last;
    }
    assert_int_equal(found, 2);
    vise_importance_close(&w);
    ((vise_graph *)(uintptr_t)&p.original.graph)->output[0].name = "embedding";
    MUST(vise_importance_open(&w, &p, &d, &e));
    for (size_t i = 0; i < w.nodes; i++)
        assert_null(w.row[i]);
    vise_importance_close(&w);
    vise_dense_close(&d);
    vise_prefix_close(&p);
    vise_change_close(&c);
    vise_data_free(data);
    vise_model_free(m);
}

/* What the picture is rounded to has 8 bits whatever is asked for, and with ends=int8 the head's too. */
static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t head;
    } cases[] = {{"quantize acts=int4 method=nearest", 8},
                 {"quantize acts=int4 method=nearest ends=same", 4}};
    for (size_t i = 0; i < 2; i++) {
        vise_err e;
        vise_model *m = vit();
        MUST(vise_apply(m, cases[i].line, NULL, &e));
        for (size_t k = 0; k < m->graph.nodes; k++) {
            const vise_node *n = &m->graph.node[k];
            if (!strcmp(n->name, "patch_embed.proj")) assert_int_equal(n->actq[0].bits, 8);
            if (!strcmp(n->name, "head")) assert_int_equal(n->actq[0].bits, cases[i].head);
            if (strstr(n->name, "attn.qkv")) assert_int_equal(n->actq[0].bits, 4);
        }
        vise_model_free(m);
    }
}

/* vectors=f16: no constant of f32 is left, and the answers hardly move. */
static void test_vectors(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m = vit();
    MUST(vise_apply(m, "quantize weights=int8 acts=f32 method=nearest vectors=f16", NULL, &e));
    for (size_t v = 0; v < m->graph.values; v++)
        if (m->graph.value[v].kind == VISE_VALUE_CONST)
            assert_true(m->graph.value[v].data.enc.bits ||
                        m->graph.value[v].data.enc.type == VISE_F16);
    vise_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_importance),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_vectors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
