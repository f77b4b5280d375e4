vise help compress
