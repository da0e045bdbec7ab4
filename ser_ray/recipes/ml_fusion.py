"""System 4: SVM, random forest and XGBoost, fused by each one's own confidence."""

from __future__ import annotations

from ser_ray.recipes.recipe import RULE, Claim, Recipe, Variant

MEMBERS = ("svm", "random_forest", "xgboost")

RECIPE = Recipe(
    name="ml_fusion",
    title="SVM, random forest and XGBoost, weighted by their confidence",
    source="System 4: seven emotions, MFCC, weight_k(i) = p_k(i) / sum_i p_k(i)",
    variants=(
        Variant(name="svm", what="RBF support vectors", family="svm"),
        Variant(name="random_forest", what="500 trees", family="random_forest"),
        Variant(name="xgboost", what="300 boosted trees", family="xgboost"),
    ),
    flagship="svm",
    fused=MEMBERS,
    claims=(
        Claim(says="Confidence weights beat a soft vote", better=f"{RULE}paper", worse=f"{RULE}soft"),
        *(Claim(says=f"The fusion beats {name}", better=f"{RULE}paper", worse=name) for name in MEMBERS),
        Claim(says="Stacking beats confidence weights", better=f"{RULE}stacking", worse=f"{RULE}paper"),
    ),
    differences=(
        "The paper's corpus is not known; the emotions are those of the corpus at hand.",
        "The features are the statistics `mfcc_stats`; the paper says MFCC and no more.",
        "Members are calibrated before they are fused.",
    ),
)
