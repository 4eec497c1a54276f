# lme4's fits of small_grid.csv, a simulated table with unequal cells, one empty cell (e1 on t2) and components at zero.
# Run in this folder: Rscript small_grid.R   (writes small_grid_lme4.json)
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
d <- read.csv("small_grid.csv")
d$y <- ave(d$score, d$task, FUN = function(s) (s - mean(s)) / sd(s))
for (e in unique(d$encoder)) {
  d[[paste0("i_", e)]] <- as.numeric(d$encoder == e)
  d[[paste0("s_", e)]] <- (d$encoder == e) * d$depth
}
d$sd <- d$size * d$depth
d$cell <- paste(d$encoder, d$task)
i <- paste0("i_", unique(d$encoder)); s <- paste0("s_", unique(d$encoder))
build <- function(fixed, random) {
  as.formula(paste("y ~", paste(fixed, collapse = " + "), "+", paste(sprintf("(0 + %s | task)", random), collapse = " + ")))
}
models <- list(
  factor = build(c("0", i), i),
  factor_covariate = build(c("0", i, s), c(i, s)),
  factor_common = as.formula(paste("y ~ 0 +", paste(i, collapse = " + "), "+ (1 | cell)")),
  ordinal = build(c("size", "depth", "sd"), c("size", "depth", "sd"))
)
control <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
                       optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12, maxeval = 200000))
out <- lapply(models, function(f) {
  m <- suppressMessages(lmerTest::lmer(f, d, control = control))
  c1 <- coef(summary(m)); v <- as.data.frame(VarCorr(m))
  list(reml = REMLcrit(m), estimate = unname(c1[, 1]), se = unname(c1[, 2]), df = unname(c1[, 3]),
       p = unname(c1[, 5]), sd = v$sdcor[-nrow(v)], residual_sd = v$sdcor[nrow(v)])
})
out$about <- list(lme4 = as.character(packageVersion("lme4")), lmerTest = as.character(packageVersion("lmerTest")),
                  r = R.version.string)
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "small_grid_lme4.json")
