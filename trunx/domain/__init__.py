"""What a call, an IVR, a number, an account *is*: values and rules, no I/O, no asyncio."""
