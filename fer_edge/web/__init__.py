"""The live page: what viewers are sent (`live`, `history`, `pulse`, `studio`, `settings`), who may look (`door`), the
routes (`app`).
"""
