"""What the program says of itself to editors, man and shells: nothing may be missing there."""
import json
import os
import re
import shutil
import subprocess

import pytest

import hostproc

HERE = os.path.dirname(__file__)
LUA = os.path.join(HERE, "..", "..", "lua", "host")
IN_C = ["host", "host.crypto", "host.http", "host.json", "host.log", "host.metrics"]

# Every function that an author can reach, told by the program itself.
WALK = """
local t = require "host.test"
local names = {}
local function walk(path, value, depth)
  if type(value) == "function" then names[#names + 1] = path
  elseif type(value) == "table" and depth < 5 then
    if (getmetatable(value) or {}).__call then names[#names + 1] = path end
    for k, v in pairs(value) do
      if type(k) == "string" then walk(path .. "." .. k, v, depth + 1) end
    end
  end
end
for _, name in ipairs { %s } do walk(name, require(name), 0) end
t.case("names", function() t.ok(false, "names:" .. table.concat(names, " ")) end)
"""
CALLABLE = {"host.map"}  # a module that is called itself
OWN = {"host.test.handle"}  # what the program calls


def host(*args, cwd=None):
    done = subprocess.run([hostproc.BINARY, *args], cwd=cwd, text=True, capture_output=True,
                          timeout=60, env=hostproc.environment())
    hostproc.check_output(done.stdout + done.stderr)
    return done.returncode, done.stdout, done.stderr


def commands():
    _, out, _ = host("--help")
    return re.findall(r"^  host (\w+) ", out, re.M)


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    """module → what host types says of it"""
    folder = tmp_path_factory.mktemp("types") / "a" / "b"
    code, out, err = host("types", str(folder))
    assert (code, out) == (0, "") and str(folder) in err
    found = {}
    for path in folder.rglob("*.lua"):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        found[module] = path.read_text()
        assert found[module].startswith(f"---@meta {module}\n")
        subprocess.run(["luac5.4", "-p", str(path)], check=True)
        subprocess.run(["lua5.4", str(path)], check=True)
    return found


def test_every_module_is_told_of(types):
    in_lua = {"host." + n[:-4] for n in os.listdir(LUA) if n.endswith(".lua") and "_" not in n}
    assert set(types) == in_lua | set(IN_C)


def test_every_function_is_told_of(types, tmp_path):
    (tmp_path / "walk_test.lua").write_text(WALK % ", ".join(json.dumps(n) for n in types))
    _, out, err = host("test", "walk_test.lua", cwd=tmp_path)
    there = set(re.search(r"names:(.*)", out + err)[1].split()) - CALLABLE - OWN
    told = set()
    for module, text in types.items():
        told |= {module + n for n in re.findall(r"^function M([.\w]+)\(", text, re.M)}
        told |= {module + n for n in re.findall(r"^M([.\w]+) = nil$", text, re.M)}
    assert len(there) > 60
    assert there - told == set()
    fields = {"host.config", "host.version", "host.json.null"}
    assert told - there == fields


def test_what_is_told(types):
    assert "---@field attempt integer" in types["host"]
    assert "function Message:extend(seconds) end" in types["host"]
    http = types["host.http"]
    assert "---@param options? table" in http and "---@return host.http.Answer" in http
    ensure = types["host.keycloak"].split("function M.users.ensure(")[0].rsplit("\n\n", 1)[1]
    assert "---@param rep any" in ensure and "Raises: conflict" in ensure


def test_types_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = host("types", str(tmp_path / "file" / "x"))
    assert code == 1 and "Not a directory" in err


# ---- manual pages

def page(tmp_path, name):
    code, out, err = host("man", name)
    assert code == 0, err
    path = tmp_path / name
    path.write_text(out)
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(path)], text=True,
                              capture_output=True).stdout.splitlines()
        assert [line for line in lint if "missing date" not in line] == []
    return out.replace("\\-", "-").replace("\\&", "")


def test_the_page_of_the_program(tmp_path):
    text = page(tmp_path, "host")
    for command in commands():
        assert f".SS {command}\n" in text
        _, usage, _ = host(command, "--help")
        for option in re.findall(r"^ +(?:-\w, )?--([\w-]+)", usage, re.M):
            assert option == "help" or f"--{option}\\fR" in text, (command, option)
    _, config, _ = host("run", "h.lua", "--print-config")
    keys = re.findall(r"^([a-z_.]+) ", config, re.M)
    assert len(keys) > 50
    for key in keys:
        assert f".B {key}\n" in text
        assert "LUAHOST_" + key.replace(".", "_").upper() in text


def test_the_page_of_the_modules(tmp_path, types):
    text = page(tmp_path, "host-handler")
    for module in types:
        assert f".SH {module.upper()}\n" in text
    assert ".SS users.ensure(rep, opts)" in text and ".SS Message:deadline()" in text


# ---- completion

def bash(*words):
    script = ('compopt() { :; }; source <("$0" completion bash)\n'
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _luahost\n'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", script, hostproc.BINARY, *words], text=True,
                          capture_output=True, timeout=60, cwd=HERE)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash():
    assert set(bash("host", "")) == {*commands(), "help", "--help", "--version"}
    assert bash("host", "inv") == ["invoke"]
    assert bash("host", "run", "--until") == ["--until-empty"]
    assert bash("host", "run", "--log-level", "") == ["debug", "info", "warn", "error"]
    assert bash("host", "run", "--log-level", "=", "d") == ["debug"]
    assert bash("host", "run", "--log-level", "=") == ["debug", "info", "warn", "error"]
    assert bash("host", "invoke", "--as", "e") == ["eventbridge"]
    assert "conftest.py" in bash("host", "invoke", "-e", "conf")
    assert "conftest.py" in bash("host", "run", "conf")
    assert bash("host", "run", "--slots", "") == []
    assert bash("host", "completion", "z") == ["zsh"]
    assert bash("host", "help", "inv") == ["invoke"]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
def test_fish(tmp_path):
    def complete(line):
        script = f'"{hostproc.BINARY}" completion fish | source; complete -C "{line}"'
        done = subprocess.run(["fish", "--no-config", "-c", script], text=True,
                              capture_output=True, timeout=60, cwd=HERE,
                              env={**os.environ, "HOME": str(tmp_path)})
        assert done.stderr == ""
        return [word.split("\t")[0] for word in done.stdout.splitlines()]

    assert complete("host inv") == ["invoke"]
    assert complete("host run --until") == ["--until-empty"]
    assert complete("host run --log-level ") == ["debug", "error", "info", "warn"]
    assert complete("host run conft") == ["conftest.py"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh(tmp_path):
    _, text, _ = host("completion", "zsh", "--name", "luahost")
    (tmp_path / "_luahost").write_text(text)
    assert text.startswith("#compdef luahost\n") and "--log-level=[" in text
    subprocess.run(["zsh", "-n", str(tmp_path / "_luahost")], check=True)
    script = ('autoload -U compinit; compinit -u -d "$1/dump"; source "$1/_luahost"; '
              'print $_comps[luahost]')
    done = subprocess.run(["zsh", "-f", "-c", script, "zsh", str(tmp_path)], text=True,
                          capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == ("_luahost\n", "")


@pytest.mark.parametrize("args, words", [
    (("completion", "tcsh"), "it is one of bash, zsh, fish"),
    (("completion",), "bash|zsh|fish is missing"),
    (("completion", "bash", "--name", "a b"), "--name a b"),
    (("man", "hosts"), "there is no page hosts: host, host-handler"),
])
def test_wrong_calls(args, words):
    code, out, err = host(*args)
    assert (code, out) == (2, "") and words in err
