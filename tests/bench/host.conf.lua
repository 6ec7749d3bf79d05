-- Nothing but what the handler needs: all settings that cost anything are the defaults.
return {
  handler = { env = { "BENCH_TARGET" } },
}
