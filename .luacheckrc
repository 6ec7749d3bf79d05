std = "lua54+luahost"
stds.luahost = { read_globals = { "cjson" }, globals = { "handle" } }
max_line_length = 100
ignore = { "211/.*_close" }
-- Declarations of what is in C, for host types: nothing in them is used.
files["lua/types"] = { ignore = { "212", "241" } }
