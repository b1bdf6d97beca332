"""The commands: `kerasfer recognize`, `kerasfer train` and so on; `apps/*.py` in the checkout call them."""
