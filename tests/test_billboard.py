"""McGill Billboard: finding songs in whatever people call their files, on the genuine index, which is CC0."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
import soundfile
from conftest import bench, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import DatasetError
from tasks.billboard import INDEX, INDEX_CHECKSUM, Billboard
from tasks.song_names import Song, SongFinder, same_letters

GENUINE = Path(__file__).parent / "data" / INDEX
SHARED = Path(__file__).parents[2] / "shared" / "datasets" / "billboard"

with GENUINE.open(newline="", encoding="utf-8") as _file:
    ROWS = list(csv.DictReader(_file))
SONGS = [Song(row["artist"], row["title"]) for row in ROWS if row["title"]]
FINDER = SongFinder(SONGS)
#: Each song once, as first spelled.
DISTINCT = list({song.key: song for song in reversed(SONGS)}.values())


def tree(root, *paths, index=None):
    root.mkdir(exist_ok=True)
    (root / INDEX).write_bytes(GENUINE.read_bytes() if index is None else index.encode())
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return Billboard(root)


def found(path):
    return [(song.artist, song.title) for song in FINDER.find(path).songs]


ROSE = [("Bette Midler", "The Rose")]
FRIEND = [("Roberta Flack,Donny Hathaway", "You've Got A Friend")]


def test_the_index_is_the_published_one_in_every_respect():
    assert hashlib.md5(GENUINE.read_bytes()).hexdigest() == INDEX_CHECKSUM.removeprefix("md5:")
    assert len(ROWS) == 1300
    assert len(SONGS) == 890
    # Different when case and punctuation make no difference, and when "The" makes none either.
    assert len({(same_letters(song.artist), same_letters(song.title)) for song in SONGS}) == 740
    assert len(DISTINCT) == 739


@pytest.mark.parametrize(
    "name",
    [
        "{artist} - {title}.mp3",
        "1980s/{artist}/{title}/audio.flac",
        "{artist}/Some Album/07 - {title}.wav",
        "{artist}/{artist}/1-07 {title} (Remastered 2009).m4a",
        "{artist}-{title}.ogg",
        "07 {title} - {artist}.mp3",
        "07. {artist} - {title} - 2011 Remaster.mp3",
        "{underscored}.mp3",
        "{shouted}.WAV",
        "[1980] {artist} - {title} [Official Video].mp3",
    ],
)
def test_every_song_is_found_and_no_other(name):
    for song in DISTINCT:
        artist, title = song.artist.replace("/", "_"), song.title.replace("/", "_")
        both = f"{artist} - {title}"
        path = name.format(artist=artist, title=title, underscored=both.replace(" ", "_"), shouted=both.upper())
        assert [other.key for other in FINDER.find(path).songs] == [song.key], path


@pytest.mark.parametrize(
    ("path", "songs"),
    [
        ("Midler, Bette/Rose, The.ogg", ROSE),
        ('Bette Midler - "The Rose".mp3', ROSE),
        ("BETTE  MIDLER – the rosé.flac", ROSE),
        ("Various Artists/Hits of 1980/12. Bette Midler - The Rose.mp3", ROSE),
        ("va/12-bette_midler-the_rose.mp3", ROSE),
        ("Bette Midler/The Rose/02 - Whose Side Are You On.mp3", []),
        ("Bette Midler/The Rose/Track01.mp3", []),
        ("Bette Midler - The Rose - Live.mp3", []),
        ("Bette Midler - The Rose (Live at the Met).mp3", []),
        ("Bette Midler - The Rose (Karaoke Version).mp3", []),
        ("Westlife - The Rose.mp3", []),
        ("The Rose.mp3", []),
        ("Bette Midler.mp3", []),
        ("Roberta Flack & Donny Hathaway/You've Got A Friend.mp3", FRIEND),
        ("Donny Hathaway feat. Roberta Flack - Youve Got a Friend.mp3", FRIEND),
        ("Roberta Flack/You’ve Got a Friend.mp3", FRIEND),
        ("Rick James - Super Freak.mp3", [("Rick James", "Super Freak (Part I)")]),
        ("Rick James - Super Freak (Part 2).mp3", []),
        ("Otis Redding/Dock of the Bay.mp3", [("Otis Redding", "(Sittin' On) The Dock Of The Bay")]),
        ("Righteous Brothers - Unchained Melody.mp3", [("The Righteous Brothers", "Unchained Melody")]),
        ("Rockwell - Somebody's Watching Me.mp3", [("Rockwell", "Somebody s Watching Me")]),
        ("Crosby Stills and Nash/Southern Cross.mp3", [("Crosby, Stills & Nash", "Southern Cross")]),
        ("Prince/The Arms of Orion.mp3", [("Prince (With Sheena Easton)", "The Arms Of Orion")]),
    ],
)
def test_names_as_people_write_them(path, songs):
    written = {(song.artist, song.title): song.key for song in SONGS}
    assert [written[song] for song in found(path)] == [written[song] for song in songs]


def test_songs_that_a_name_cannot_tell_apart_are_all_named():
    finder = SongFinder([Song("Band", "Tune (Part 1)"), Song("Band", "Tune (Part 2)"), Song("Band", "Other")])
    assert len(finder.find("Band - Tune.mp3").songs) == 2
    assert [song.title for song in finder.find("Band - Tune (Part 2).mp3").songs] == ["Tune (Part 2)"]
    assert finder.find("Band - Other (live).mp3").remark == "another version: live"


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_any_name_is_looked_at_without_an_error(name):
    assert len(FINDER.find(f"x/{name}.mp3").songs) <= 1
    assert same_letters(name) == same_letters(same_letters(name))


def test_files_are_matched_by_slot(tmp_path):
    dataset = tree(
        tmp_path,
        "McGill-Billboard/0003/audio.flac",
        "McGill-Billboard/0003/salami_chords.txt",
        "0004.mp3",
        "wavs/0006_mix.WAV",
        "0012 - whatever.mp3",
        "0001/audio.wav",
        "1980/holiday.mp3",
        "1301.mp3",
    )
    assert [(clip.id, clip.path, clip.split) for clip in dataset.clips()] == [
        ("0003", "McGill-Billboard/0003/audio.flac", None),
        ("0004", "0004.mp3", None),
        ("0006", "wavs/0006_mix.WAV", None),
    ]
    assert (dataset.clips()[0].artist, dataset.clips()[0].recording) == ("James Brown", "James Brown / I Don't Mind")
    unnamed = "names no slot, and no artist and title of the index"
    assert dataset.unused_files() == {
        "0001/audio.wav": "slot is not filled in the index: 0001",
        # Four digits before a title may be disc and track.
        "0012 - whatever.mp3": unnamed,
        "1301.mp3": unnamed,
        "1980/holiday.mp3": unnamed,
    }


def test_a_slot_and_a_name_that_disagree_are_not_used(tmp_path):
    dataset = tree(tmp_path, "0006/Bette Midler - The Rose.mp3", "0003/The Rose - Bette Midler.mp3", "0003/0004.mp3")
    assert [clip.path for clip in dataset.clips()] == ["0006/Bette Midler - The Rose.mp3"]
    assert dataset.unused_files() == {
        "0003/0004.mp3": "names several slots: 0003, 0004",
        "0003/The Rose - Bette Midler.mp3": (
            'slot and name disagree: slot 0003 is "I Don\'t Mind" by James Brown, '
            "the name is that of 'The Rose' by Bette Midler"
        ),
    }


def test_a_song_is_one_clip_whatever_its_slots_and_files(tmp_path):
    # 0382 and 1300 are one song, and so are 0587 and 1007, whose artist is spelled in two ways.
    dataset = tree(
        tmp_path,
        "1300/audio.wav",
        "0382/audio.flac",
        "1007.mp3",
        "The Righteous Brothers - Unchained Melody.flac",
        "Bette Midler - The Rose.mp3",
        "Bette Midler - The Rose.flac",
        "._Bette Midler - The Rose.wav",
    )
    clips = dataset.clips()
    assert [(clip.id, clip.path) for clip in clips] == [
        ("0006", "Bette Midler - The Rose.flac"),
        ("0382", "0382/audio.flac"),
        ("0587", "1007.mp3"),
    ]
    unused = dataset.unused_files()
    assert unused["._Bette Midler - The Rose.wav"] == "hidden file"
    assert unused["Bette Midler - The Rose.mp3"] == (
        "another file of the same song: 'The Rose' by Bette Midler; Bette Midler - The Rose.flac is used"
    )
    assert unused["1300/audio.wav"].endswith("; 0382/audio.flac is used")
    assert unused["The Righteous Brothers - Unchained Melody.flac"].endswith("; 1007.mp3 is used")
    # Every file is accounted for.
    files = {file.relative_to(tmp_path).as_posix() for file in dataset.audio_files()}
    assert files == {clip.path for clip in clips} | set(unused)


def test_an_empty_file_stands_back(tmp_path):
    dataset = tree(tmp_path, "Bette Midler - The Rose.flac", "Bette Midler - The Rose.mp3")
    (tmp_path / "Bette Midler - The Rose.flac").write_bytes(b"")
    assert [clip.path for clip in Billboard(dataset.root).clips()] == ["Bette Midler - The Rose.mp3"]


def test_audio_files_are_known_by_their_suffix_wherever_they_lie(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "0004.OGG").write_bytes(b"x")
    dataset = tree(tmp_path / "billboard", "a/b/c/0003.m4a", "cover.jpg", "a/b/notes.txt")
    (dataset.root / "linked").symlink_to(tmp_path / "elsewhere")
    (dataset.root / "loop").symlink_to(dataset.root)
    (dataset.root / "gone.mp3").symlink_to(tmp_path / "nowhere")
    dataset.check()
    assert [file.relative_to(dataset.root).as_posix() for file in dataset.audio_files()] == [
        "a/b/c/0003.m4a",
        "linked/0004.OGG",
    ]
    assert [clip.id for clip in dataset.clips()] == ["0003", "0004"]


def test_counts_stand_beside_those_of_the_papers(tmp_path):
    dataset = tree(tmp_path, "0003.wav", "Bette Midler - The Rose.mp3", "unknown.mp3")
    assert [(row.what, row.published, row.found, row.source) for row in dataset.counts()] == [
        ("slots", 1300, 1300, "distributor"),
        ("filled slots", 890, 890, "distributor"),
        ("different songs", 740, 740, "distributor"),
        ("songs with audio", 712, 2, "TUNe"),
        ("songs with audio", 461, 2, "CLMR thesis"),
    ]


def test_there_is_no_task(tmp_path):
    with pytest.raises(DatasetError, match="billboard: it has no task; it is a corpus to pretrain on"):
        tree(tmp_path).task()


def test_check_names_what_is_missing(tmp_path):
    dataset = tree(tmp_path / "billboard", "0003/salami_chords.txt")
    with pytest.raises(DatasetError, match="no audio file in any folder; to get McGill Billboard, fetch"):
        dataset.check()
    (dataset.root / INDEX).unlink()
    with pytest.raises(DatasetError, match=r"billboard-2\.0-index\.csv: no such table"):
        dataset.check()


def rewritten(line_end, mark=""):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(ROWS)
    return mark + text.getvalue()


@pytest.mark.parametrize("index", [rewritten("\r\n"), rewritten("\n"), rewritten("\n", "\ufeff")])
def test_other_dialects_of_the_index_are_read(tmp_path, index):
    dataset = tree(tmp_path, "0004.mp3", index=index)
    assert [clip.artist for clip in dataset.clips()] == ["Roberta Flack,Donny Hathaway"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("id,title\n1,x\n", ":1: no column 'artist'"),
        ("id,title,artist\nx,a,b\n", ":2: id must be a number of at most four digits, not 'x'"),
        ("id,title,artist\n1,a,b\n0001,a,b\n", ":3: id 0001 is there twice"),
        ("id,title,artist\n1,a,\n", ":2: slot 1 has a title or an artist, but not both"),
        ("id,title,artist\n1,a\n", ":2: 2 fields where the header has 3"),
    ],
)
def test_malformed_indexes_are_named_by_line(tmp_path, index, message):
    with pytest.raises(DatasetError) as raised:
        tree(tmp_path, "0003.wav", index=index).clips()
    assert str(raised.value).startswith(f"{tmp_path / INDEX}{message}")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not at hand")
def test_annotation_files_with_swapped_names_do_not_matter(tmp_path):
    sample = SHARED / "layout_sample" / "McGill-Billboard"
    dataset = tree(tmp_path)
    for folder in sample.iterdir():
        there = tmp_path / "McGill-Billboard" / folder.name
        there.mkdir(parents=True)
        (there / "salami_chords.txt").write_bytes((folder / "salami_chords.txt").read_bytes())
        (there / "audio.mp3").write_bytes(b"x")
    clips = {clip.id: clip.recording for clip in Billboard(dataset.root).clips()}
    with (SHARED / "salami_summary.csv").open(newline="", encoding="utf-8") as file:
        published = {row["id"]: f"{row['artist']} / {row['title']}" for row in csv.DictReader(file)}
    assert sorted(clips) == ["0003", "0004", "0035", "0126", "0382"]
    assert "# title: " + clips["0035"].split(" / ")[0] in (sample / "0035" / "salami_chords.txt").read_text()
    assert clips == {slot: published[slot] for slot in clips}


STREETS = "'Where The Streets Have No Name' by Pet Shop Boys"


def test_every_file_is_accounted_for_on_the_command_line(tmp_path):
    dataset = tree(
        tmp_path / "billboard", "1300.wav", "Bette Midler - The Rose.mp3", 'Who [?] "knows".m4a', "odd\nname.mp3"
    )
    soundfile.write(dataset.root / "0382.wav", tone(2, 22_050, 1), 22_050)
    result = bench("data", "status", "billboard", "--data", tmp_path, "--json", "--store", tmp_path / "store")
    (status,) = json.loads(result.stdout)["datasets"]
    assert (status["state"], status["clips"], status["missing"]) == ("incomplete", 2, [])
    assert list(status["broken"]) == ["Bette Midler - The Rose.mp3"]
    assert status["unnamed"] == []
    assert status["unused"] == {
        "1300.wav": f"another file of the same song: {STREETS}; 0382.wav is used",
        'Who [?] "knows".m4a': "names no slot, and no artist and title of the index",
        "odd\nname.mp3": "names no slot, and no artist and title of the index",
    }
    text = bench("data", "status", "billboard", "--data", tmp_path, "--store", tmp_path / "store").stdout
    assert (
        "  3 not used:\n"
        "    2 names no slot, and no artist and title of the index:\n"
        '      Who [?] "knows".m4a\n'
        "      odd\\nname.mp3\n"
        "    1 another file of the same song:\n"
        f"      1300.wav: {STREETS}; 0382.wav is used\n"
    ) in text
    result = bench("run", "--encoder", "mfcc", "--task", "billboard", "--data", tmp_path, "--store", tmp_path / "store")
    assert result.returncode == 2
    assert "unknown task 'billboard'" in result.stderr
