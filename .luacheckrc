std = "lua54+luahost"
stds.luahost = { read_globals = { "cjson" }, globals = { "handle" } }
max_line_length = 100
ignore = { "211/.*_close" }
