--- What `host check` says of source that loads: the commonest slips, by its tokens. Better silent
-- than wrong: each finding is one that an author would want to hear of. `-- check: ignore` at the
-- end of a line keeps it quiet.
--
-- Run by cli/lint.c, each file twice: first for the globals that the files define, which others
-- may use, then for what is to be said. A message's body is the file's text, its id "define NAME"
-- or "look NAME".

local host = require "host"
local stage = require "host.stage"

local M = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
    return then true until while]]):gmatch("%S+") do KEYWORDS[word] = true end

-- What cannot stand before a statement: behind it a name is part of an expression.
local INSIDE = {}
for word in ([[. : = ( , { [ and or not return in until if elseif while for function local goto ::
    + - * / // % ^ # & ~ | << >> == ~= <= >= < > ..]]):gmatch("%S+") do INSIDE[word] = true end

local defined = {} -- globals that the files define while they load

-- Long brackets: the position behind them, or nil.
local function skip_long(text, at)
    local level = text:match("^%[(=*)%[", at)
    if not level then return nil end
    local _, stop = text:find("]" .. level .. "]", at, true)
    return (stop or #text) + 1
end

local function skip_string(text, at)
    local quote = text:sub(at, at)
    local i = at + 1
    while i <= #text do
        local c = text:sub(i, i)
        if c == quote then return i + 1 end
        i = i + (c == "\\" and 2 or 1)
    end
    return i
end

local function one_token(text, at)
    local name = text:match("^[%a_][%w_]*", at)
    if name then return KEYWORDS[name] and "keyword" or "name", name, at + #name end
    local number = text:match("^%.?%d[%w_.]*", at)
    if number then return "value", number, at + #number end
    if text:find("^[\"']", at) then
        local stop = skip_string(text, at)
        return "value", text:sub(at, stop - 1), stop
    end
    local stop = skip_long(text, at)
    if stop then return "value", "[[", stop end
    local op = text:match("^%.%.%.", at)
    if op then return "value", op, at + 3 end
    op = text:match("^[=~<>]=", at) or text:match("^//", at) or text:match("^::", at)
        or text:match("^%.%.", at) or text:match("^<<", at) or text:match("^>>", at)
        or text:sub(at, at)
    return "op", op, at + #op
end

-- A list of { kind, text, line }, and the lines that are to be passed over in silence.
local function tokens_of(text)
    local list, quiet, line, at = {}, {}, 1, 1
    if text:sub(1, 3) == "\xef\xbb\xbf" then at = 4 end
    if text:sub(at, at) == "#" then at = text:find("\n", at, true) or #text + 1 end
    while at <= #text do
        local from = at
        if text:find("^%-%-", at) then
            at = skip_long(text, at + 2) or text:find("\n", at, true) or #text + 1
            if text:sub(from, at - 1):find("^%-%- *check: *ignore") then quiet[line] = true end
        elseif text:find("^%s", at) then
            at = text:find("%S", at) or #text + 1
        else
            local kind, word
            kind, word, at = one_token(text, at)
            list[#list + 1] = { kind = kind, text = word, line = line }
        end
        for _ in text:sub(from, at - 1):gmatch("\n") do line = line + 1 end
    end
    return list, quiet
end

-- ---- names and blocks -------------------------------------------------------------------------

local function open(s, kind, fields)
    local block = fields or {}
    block.kind, block.names, block.up = kind, {}, s.block
    block.depth = s.block and s.block.depth + (kind == "function" and 1 or 0) or 0
    block.handle = block.handle or s.block and s.block.handle or false
    s.block = block
end

local function close(s)
    if s.block.up then s.block = s.block.up end
end

local function declare(s, name)
    s.block.names[name] = true
end

-- The block that declares it, or nil: a global.
local function declared_in(s, name)
    local block = s.block
    while block and not block.names[name] do block = block.up end
    return block
end

local function text_at(s, i)
    return s.tokens[i] and s.tokens[i].text or ""
end

local function say(s, token, words)
    if s.looks and not s.quiet[token.line] then
        stage.say(("%d\t%s"):format(token.line, words))
    end
end

-- The names of a `local`, of a `for`: up to what ends them.
local function names_from(s, i)
    local names = {}
    while s.tokens[i] and s.tokens[i].kind == "name" do
        names[#names + 1] = s.tokens[i].text
        i = i + 1
        if text_at(s, i) == "<" then i = i + 3 end
        if text_at(s, i) ~= "," then break end
        i = i + 1
    end
    return names, i
end

-- From `function` to behind its parameters.
local function begin_function(s, i)
    local before, is_method = text_at(s, i - 1), false
    local last = before == "=" and text_at(s, i - 2) or nil
    i = i + 1
    if s.tokens[i] and s.tokens[i].kind == "name" then
        last = text_at(s, i)
        if before == "local" then
            declare(s, last)
        elseif text_at(s, i + 1) == "(" and not declared_in(s, last) and s.block.depth == 0 then
            defined[last] = true
        end
        while s.tokens[i] and text_at(s, i) ~= "(" do
            is_method = is_method or text_at(s, i) == ":"
            last = text_at(s, i)
            i = i + 1
        end
    end
    open(s, "function", { handle = s.block.depth == 0 and last == "handle" })
    s.block.own = s.block.handle and s.block.depth == 1
    if is_method then declare(s, "self") end
    i = i + 1
    while s.tokens[i] and text_at(s, i) ~= ")" do
        if s.tokens[i].kind == "name" then declare(s, text_at(s, i)) end
        i = i + 1
    end
    return i + 1
end

-- ---- what is looked at ----------------------------------------------------------------------

local function function_block(s)
    local block = s.block
    while block and block.kind ~= "function" do block = block.up end
    return block
end

local function look_at_return(s, i)
    local of = function_block(s)
    local first, after = text_at(s, i + 1), text_at(s, i + 2)
    if of and of.own and first == "nil" and after == "," then
        say(s, s.tokens[i], "`return nil, …` from handle acks nothing and is retried as an error of"
            .. " the handler: return host.retry{…} or host.reject(…), or raise error(…)")
    elseif of and of.own and first == "false" then
        say(s, s.tokens[i], "`return false` from handle is retried as an error of the handler:"
            .. " return host.retry{…} or host.reject(…)")
    end
end

local function look_at_host(s, i)
    local token, what = s.tokens[i], text_at(s, i + 2)
    if text_at(s, i + 1) ~= "." then return end
    if (what == "retry" or what == "reject") and not INSIDE[text_at(s, i - 1)] then
        say(s, token, ("host.%s only makes an outcome: write `return host.%s…`"):format(what, what))
    elseif what == "env" then
        local at = text_at(s, i + 3) == "(" and i + 4 or i + 3
        local name = text_at(s, at):match("^[\"']([%w_]+)[\"']$")
        if name and not pcall(host.env, name) then
            say(s, token, ("host.env %q: the name is not in handler.env of the configuration")
                :format(name))
        end
    elseif what == "config" and text_at(s, i + 3) == "." then
        local name, after = text_at(s, i + 4), text_at(s, i + 5)
        local before = text_at(s, i - 1)
        local asked = after == "or" or after == "and" or after == "==" or after == "~="
            or before == "not" or before == "if" or before == "elseif" or before == "and"
        if not asked and host.config[name] == nil then
            say(s, token, ("host.config.%s is not set: put it into handler = { … } of the"
                .. " configuration"):format(name))
        end
    end
end

local function look_at_name(s, i)
    local token, before = s.tokens[i], text_at(s, i - 1)
    local name, assigned = token.text, text_at(s, i + 1) == "=" and not INSIDE[before]
    if before == "." or before == ":" or before == "goto" or before == "::" then return end
    if text_at(s, i + 1) == "=" and s.block.kind == "{" then return end -- a key
    local block = declared_in(s, name)
    if block and block.depth == 0 and s.block.handle and assigned then
        say(s, token, ("'%s' is one variable for all messages of a worker, and handle assigns it:"
            .. " make it a local of handle, or keep it in host.cache"):format(name))
    elseif not block and assigned and s.block.depth == 0 then
        defined[name] = true
    elseif not block and assigned and not defined[name] then
        say(s, token, ("assigns the global '%s', which fails once the handler is loaded: write"
            .. " `local %s`"):format(name, name))
    elseif not block and not defined[name] and rawget(_G, name) == nil and _G[name] == nil then
        say(s, token, ("'%s' is declared nowhere: it is nil"):format(name))
    end
    if name == "host" and before ~= "local" then look_at_host(s, i) end
end

-- ---- the walk ---------------------------------------------------------------------------------

local CLOSES = { [")"] = true, ["]"] = true, ["}"] = true, ["end"] = true }

local words = {
    ["return"] = function(s, i) look_at_return(s, i) return i + 1 end,
    ["function"] = begin_function,
    ["local"] = function(s, i)
        if text_at(s, i + 1) == "function" then return i + 1 end
        local names, after = names_from(s, i + 1)
        for _, name in ipairs(names) do declare(s, name) end
        return after
    end,
    ["for"] = function(s, i)
        local names, after = names_from(s, i + 1)
        s.loop_names = names
        return after
    end,
    ["do"] = function(s, i)
        open(s, "do")
        for _, name in ipairs(s.loop_names or {}) do declare(s, name) end
        s.loop_names = nil
        return i + 1
    end,
    ["then"] = function(s, i) open(s, "then") return i + 1 end,
    ["elseif"] = function(s, i) close(s) return i + 1 end,
    ["else"] = function(s, i) close(s) open(s, "else") return i + 1 end,
    ["repeat"] = function(s, i) open(s, "repeat") return i + 1 end,
    ["until"] = function(s, i) -- its condition sees the block's names: let them be seen on
        local names = s.block.names
        close(s)
        for name in pairs(names) do declare(s, name) end
        return i + 1
    end,
}

local function walk(s)
    local i = 1
    open(s, "file")
    while s.tokens[i] do
        local token = s.tokens[i]
        local step = token.kind == "keyword" and words[token.text]
        if step then
            i = step(s, i)
        else
            if token.kind == "name" then look_at_name(s, i) end
            if token.kind == "op" and token.text:find("^[({%[]$") then open(s, token.text) end
            if token.kind ~= "value" and CLOSES[token.text] then close(s) end
            i = i + 1
        end
    end
end

--- Looks at one file; called by cli/lint.c. Each finding is said as "LINE<tab>WORDS".
-- @param msg its body is the text, its id "define …" or "look …"
function M.handle(msg)
    local tokens, quiet = tokens_of(msg.body)
    walk { tokens = tokens, quiet = quiet, looks = msg.id:sub(1, 4) == "look" }
end

return M
