--- `host types` and `host man host-handler`: from doc comments to what editors and man read.
--
-- A doc comment begins with --- and stands right above what it is about: a function, a field
-- (`M.x = …`), or a class (`-- @class NAME` above `local X = {}`). Its tags are @param, @return,
-- @raise, and @field and @type of those; what follows, indented, belongs to the tag. The first one
-- of a file is about the module. Types are read off the words: "a string", "a list or nil",
-- "host.http.Answer: …"; where those say nothing the type is `any`.

local host = require "host"
local stage = require "host.stage"

local M = {}

-- Where authors find what a file has in a local table. A table that is not named here may hold no
-- documented function: that is an error, so that none is forgotten.
local PLACES = {
    ["host.keycloak"] = { M = "", users = "users", groups = "users.groups", roles = "users.roles" },
    ["host.keycloak_organizations"] = { organizations = "organizations",
        members = "organizations.members" },
    ["host.test_keycloak"] = { ["M.api"] = "keycloak" },
    ["host.test_server"] = { ["M.api"] = "http" },
}
local PART_OF = { ["host.keycloak_organizations"] = "host.keycloak",
    ["host.test_keycloak"] = "host.test", ["host.test_server"] = "host.test" }
local HIDDEN = { ["host.test.handle"] = true } -- what the program itself calls

-- ---- reading

-- "M.users.get" → the place of the table and what follows; nil: it is nobody's business.
local function place_of(module, classes, name)
    local places = PLACES[module] or { M = "" }
    local prefix, last = name:match("^(.*)[.:]([%w_]+)$")
    if not prefix then return nil end
    local head, rest = prefix, ""
    while head do
        if classes[head] then return head, last end
        if places[head] then
            local path = (places[head] .. rest):gsub("^%.", "")
            return path, last
        end
        local shorter, word = head:match("^(.*)%.([%w_]+)$")
        head, rest = shorter, "." .. (word or "") .. rest
    end
    return nil
end

local function new_block()
    return { text = {}, params = {}, returns = {}, raises = {}, fields = {} }
end

local LISTS = { param = "params", ["return"] = "returns", raise = "raises", field = "fields" }

-- One line of a comment, without its dashes.
local function take(block, line)
    local tag, rest = line:match("^%s*@(%a+)%s*(.*)$")
    if tag == "class" or tag == "type" then
        block[tag] = rest
    elseif LISTS[tag] then
        local entry = { text = rest }
        if tag == "param" or tag == "field" then
            entry.name, entry.text = rest:match("^([%w_.]+)%s*(.*)$")
        end
        table.insert(block[LISTS[tag]], entry)
        block.open = entry
    elseif block.open and line:find("^%s%s") then
        block.open.text = block.open.text .. " " .. line:match("^%s*(.*)$")
    else
        block.open = nil
        table.insert(block.text, (line:gsub("^ ", "")))
    end
end

local function strip(text)
    return (text:gsub("%s*%-%-.*$", ""))
end

-- What a block stands above. Returns nothing for what is nobody's business.
local function subject(file, block, line)
    local name, args = line:match("^%s*function ([%w_.:]+)%((.-)%)")
    local class = block.class and line:match("^%s*local ([%w_]+) = ")
    if class then
        file.classes[class] = block.class
        return { kind = "class", id = class, class = block.class, block = block }
    end
    local kind = name and "function" or "field"
    name = name or strip(line):match("^%s*([%w_.]+) = ")
    if not name then return nil end
    local path, last = place_of(file.module, file.classes, name)
    if not path then
        if PART_OF[file.module] or name:find("__", 1, true) or not name:find("[.:]") then
            return nil
        end
        error(("%s: %s is documented, and tools/types.lua does not know its place"):format(
            file.module, name), 0)
    end
    if HIDDEN[file.module .. "." .. last] then return nil end
    return { kind = kind, path = path, name = last, args = args, block = block,
        method = name:find(":", 1, true) ~= nil }
end

local function read(module, text)
    local file = { module = module, classes = {}, items = {}, callable = false }
    local block
    for line in (text .. "\n"):gmatch("(.-)\r?\n") do
        local begun = line:match("^%s*%-%-%-(.*)$")
        local further = line:match("^%s*%-%-(.*)$")
        if begun then
            block = new_block()
            take(block, begun)
        elseif block and further then
            take(block, further)
        elseif block then
            if not file.about then
                file.about = block
            elseif line:find("%S") then
                table.insert(file.items, subject(file, block, line))
            end
            block = nil
        end
        if line:find("^return setmetatable%(M, { __call") then file.callable = true end
    end
    return file
end

-- ---- types

local WORDS = { { "^an? [%w%-]*%s?list", "table" }, { "^lists?", "table" },
    { "^the list", "table" }, { "^a table", "table" }, { "^{", "table" },
    { "^an integer", "integer" },
    { "^a whole number", "integer" }, { "^the new number", "number" }, { "^a number", "number" },
    { "^seconds", "number" }, { "^a string", "string" }, { "^a text", "string" },
    { '^"', "string" }, { "^a Lua pattern", "string" }, { "^a URL", "string" },
    { "^the URL", "string" }, { "^the function", "function" }, { "^a function", "function" },
    { "^true", "boolean" } }

local function type_of(text, spare)
    local class = text:match("^(host%.[%w_.]+):")
    if class then return class end
    for _, rule in ipairs(WORDS) do
        if text:find(rule[1]) then
            if rule[2] ~= "string" and text:find(", or a ", 1, true) then return "any" end
            local or_nil = text:find("or nil", 1, true) or text:find("; nil", 1, true)
            return rule[2] .. (or_nil and not spare and "?" or "")
        end
    end
    return "any"
end

local function is_spare(entry)
    return entry.text:find("optional", 1, true) ~= nil
end

-- ---- LuaLS

local function say_text(block)
    for _, line in ipairs(block.text) do stage.say("---" .. line) end
    for i, one in ipairs(block.raises) do
        if i == 1 then stage.say("---") end
        stage.say("---Raises: " .. one.text)
    end
end

local function trimmed(line)
    return (line:gsub("%s+$", ""))
end

local function say_params(item)
    local known = {}
    for _, one in ipairs(item.block.params) do known[one.name] = one end
    for name in (item.args or ""):gmatch("[%w_.]+") do
        local one = known[name] or { text = "" }
        local spare = is_spare(one)
        stage.say(trimmed(("---@param %s%s %s %s"):format(name,
            spare and name ~= "..." and "?" or "", type_of(one.text, spare), one.text)))
    end
    for _, one in ipairs(item.block.returns) do
        stage.say(("---@return %s # %s"):format(type_of(one.text), one.text))
    end
end

local function say_item(file, item)
    if item.kind == "class" then
        say_text(item.block)
        stage.say("---@class " .. item.class)
        for _, one in ipairs(item.block.fields) do
            stage.say(("---@field %s %s %s"):format(one.name, type_of(one.text), one.text))
        end
        stage.say(("local %s = {}\n"):format(item.id))
        return
    end
    local owner = item.path == "" and "M" or file.classes[item.path] and item.path
        or "M." .. item.path
    say_text(item.block)
    if item.kind == "field" then
        stage.say("---@type " .. (item.block.type or "any"))
        stage.say(("%s.%s = nil\n"):format(owner, item.name))
        return
    end
    say_params(item)
    stage.say(("function %s%s%s(%s) end\n"):format(owner, item.method and ":" or ".", item.name,
        item.args))
end

-- The tables that functions stand in, outer ones first.
local function say_tables(file)
    local made = {}
    for _, item in ipairs(file.items) do
        local path = ""
        for word in (file.classes[item.path] and "" or item.path or ""):gmatch("[^.]+") do
            path = path .. "." .. word
            if not made[path] then
                made[path] = true
                stage.say("M" .. path .. " = {}")
            end
        end
    end
    return made
end

local function types_of(file)
    stage.found(file.module)
    stage.say("---@meta " .. file.module)
    stage.say("-- Made by `host types` from the doc comments of the modules; changes are lost.\n")
    say_text(file.about)
    stage.say("---@class " .. file.module)
    if file.callable then stage.say("---@overload fun(...): any") end
    stage.say("local M = {}")
    local tables = say_tables(file)
    stage.say("")
    for _, item in ipairs(file.items) do
        local is_table = item.kind == "field" and tables[item.path .. "." .. item.name]
        if not is_table then say_item(file, item) end
    end
    stage.say("return M\n")
end

-- ---- man

local function escaped(text)
    text = text:gsub("\\", "\\e"):gsub("%-", "\\-")
    return (text:gsub("^([.'])", "\\&%1"))
end

-- Indented lines are code.
local function man_text(block)
    local code = false
    for _, line in ipairs(block.text) do
        local is_code = line:find("^    ") ~= nil
        if is_code ~= code then stage.say(is_code and ".nf" or ".fi") end
        code = is_code
        stage.say(line == "" and ".PP" or escaped(is_code and line or line:gsub("^%s+", "")))
    end
    if code then stage.say(".fi") end
end

local function man_tags(list, label)
    for _, one in ipairs(list) do
        stage.say(".TP\n\\fI" .. escaped(one.name or label) .. "\\fR")
        stage.say(one.text == "" and "\\&" or escaped(one.text))
    end
end

local function man_item(file, item)
    if item.kind == "class" then
        stage.say(".SS " .. escaped(item.class))
        man_text(item.block)
        man_tags(item.block.fields)
        return
    end
    local owner = file.classes[item.path] and item.path .. (item.method and ":" or ".")
        or item.path == "" and "" or item.path .. "."
    stage.say((".SS %s%s%s"):format(escaped(owner), escaped(item.name),
        item.args and "(" .. escaped(item.args) .. ")" or ""))
    man_text(item.block)
    man_tags(item.block.params)
    man_tags(item.block.returns, "returns")
    man_tags(item.block.raises, "raises")
end

local function man_page(files, version)
    stage.say('.TH HOST\\-HANDLER 7 "" "host ' .. version .. '" "Handlers"')
    stage.say(".SH NAME\nhost\\-handler \\- the modules that a handler of host(1) has")
    stage.say(".SH DESCRIPTION\nAll modules are in the program. Each is got by require, at the top "
        .. "of the file. Beside these there are Lua's own library, closed down, and\n.BR cjson .")
    for _, file in ipairs(files) do
        stage.say(".SH " .. escaped(file.module):upper())
        man_text(file.about)
        for _, item in ipairs(file.items) do man_item(file, item) end
    end
    stage.say(".SH SEE ALSO\n.BR host (1)")
end

-- ---- the run

-- Parts are put into the modules that they are parts of.
local function joined(modules)
    local files, by_name = {}, {}
    for _, one in ipairs(modules) do
        local file = read(one.module, one.text)
        local whole = by_name[PART_OF[one.module]]
        if whole then
            table.move(file.items, 1, #file.items, #whole.items + 1, whole.items)
        else
            files[#files + 1], by_name[one.module] = file, file
        end
    end
    return files
end

--- One run; called by cli/doc_pages.c.
-- @param msg its body is JSON: { form = "types" or "man", version =, modules = a list of
--   { module =, text = } }
function M.handle(msg)
    local job = msg.json
    local files = joined(job.modules)
    if job.form == "man" then
        man_page(files, job.version)
    else
        for _, file in ipairs(files) do types_of(file) end
    end
    if #files == 0 then return host.reject("no modules") end
end

return M
