"""What a run's files say, also where they are empty, cut off or of another kind."""

import pandas as pd
import pytest

from lib.paths import Run
from lib.report.files import RunFiles, read_table, slugs


def test_file_names_differ_where_the_disk_knows_no_capitals_and_are_plain():
    names = ["fan", "Fan", "FAN", "a/b", "a b", "ä & ö", "…", "名", "x" * 200]
    found = slugs(names)
    assert list(found) == names and len({slug.lower() for slug in found.values()}) == len(names)
    assert all(slug.isascii() and slug.replace("-", "").isalnum() and len(slug) < 70 for slug in found.values())


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_table_that_is_not_there_is_empty_and_has_its_columns(tmp_path, content):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_text(content)
    assert list(read_table(path, ["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("content", [b"a,c\n1,2\n", b'a,b\n1,"2\n', b"a,b\n\xff\xfe\n", b"a,b\n1,2,3\n1,2,3,4\n"])
def test_a_table_that_cannot_be_read_names_itself_and_the_mend(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read .*; do it again"):
        read_table(path, ["a", "b"], "do it again")


def test_problems_are_those_of_the_run_and_of_its_audits_each_once_and_name_no_folder_of_this_computer(finished):
    run = finished()
    problem = {"machine": "fan", "file": "/home/me/data/fan/test/a.wav", "problem": "it hums", "mend": "do not"}
    other = problem | {"problem": "almost silent (-90)"}
    pd.DataFrame([problem]).to_csv(run.problems, index=False)
    run.machine("fan").mkdir()
    pd.DataFrame([problem, other]).to_csv(run.machine("fan") / "problems.csv", index=False)
    found = RunFiles(run).problems
    assert found["problem"].tolist() == ["it hums", "almost silent (-90)"]
    assert set(found["file"]) == {"fan/test/a.wav"}


def test_what_a_model_says_of_the_data_is_found_wherever_a_model_lies(tmp_path):
    for place, text in (
        ("fan/Spectrum/all/seed0", '{"data": {"root": "r"}}'),
        ("shared/Shared/seed0", '{"versions": {"torch": "2"}}'),
    ):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "model.json").write_text(text)
    assert RunFiles(Run(tmp_path)).made_with == {"data": {"root": "r"}, "versions": {"torch": "2"}}
    (tmp_path / "shared/Shared/seed0/model.json").write_text('{"versions":')
    with pytest.raises(ValueError, match=r"model\.json: cannot be read"):
        assert RunFiles(Run(tmp_path)).made_with


def test_names_that_look_like_numbers_or_like_nothing_stay_names(tmp_path):
    (tmp_path / "t.csv").write_text("machine,clip\n7,0001\nNA,1\n")
    assert read_table(tmp_path / "t.csv").to_numpy().tolist() == [["7", "0001"], ["NA", "1"]]
