vise help train
