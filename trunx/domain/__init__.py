"""What a call, an IVR, a number, an account *is*: pure values and rules, no I/O, no clock, no asyncio."""
