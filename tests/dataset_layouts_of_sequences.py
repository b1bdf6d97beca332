"""Small trees in the official layouts of CK+, enhanced CK, Oulu-CASIA and MMI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_layouts import picture, write_lines

from kerasfer import images

CK_PLUS_SEQUENCES = [
    ("S005", "001", 5, 3, "9.0000000e+00 0.0000000e+00|1.7000000e+01 4.0000000e+00|1.0000000e+01 2.0000000e+00"),
    ("S010", "002", 4, 5, "6.0000000e+00 3.0000000e+00|1.2000000e+01 5.0000000e+00|2.5000000e+01 1.0000000e+00"),
    ("S011", "003", 6, 2, "1.4000000e+01 3.0000000e+00"),
    ("S014", "001", 4, None, "4.0000000e+00 2.0000000e+00"),
]
"""Subject, sequence, number of frames, code of the emotion and the lines of the FACS file."""


def landmark_lines(number: int) -> list[str]:
    return [f"   {number + point:.7e}   {number + point / 2:.7e}" for point in range(68)]


def write_ck_plus(root: Path) -> None:
    for subject, sequence, count, emotion, facs in CK_PLUS_SEQUENCES:
        for frame in range(1, count + 1):
            name = f"{subject}/{sequence}/{subject}_{sequence}_{frame:08}"
            shade = int(subject[1:]) * 100 + frame
            images.write(root / "cohn-kanade-images" / f"{name}.png", picture(shade, 48))
            write_lines(root / "Landmarks" / f"{name}_landmarks.txt", landmark_lines(frame))
        write_lines(root / "FACS" / f"{name}_facs.txt", [f"   {line}" for line in facs.split("|")])
        if emotion is not None:
            write_lines(root / "Emotion" / f"{name}_emotion.txt", [f"   {emotion:.7e}"])
        (root / "cohn-kanade-images" / subject / ".DS_Store").write_bytes(b"\0")


OULU_CASIA_SEQUENCES = [("P001", "Anger", 3), ("P001", "Happiness", 5), ("P002", "Surprise", 4)]
"""Person, folder of the expression, number of frames."""


def write_oulu_casia(root: Path) -> None:
    kinds = [
        "B_OriginalImg/OriginalImg/VL/Strong",
        "B_OriginalImg/OriginalImg/VL/Dark",
        "B_OriginalImg/OriginalImg/NI/Strong",
    ]
    kinds.append("C_PreProcess_Img/PreProcess_Img/VL_Acropped/Strong")
    for kind, folder in enumerate(kinds):
        for number, (person, expression, count) in enumerate(OULU_CASIA_SEQUENCES):
            for frame in range(count):
                file = root / folder / person / expression / f"{frame:03}.jpeg"
                images.write(file, picture(1000 * kind + 100 * number + frame, 32, 3))


OAO_MARKERS = ["12 1:0 3:1 5:2 9:3 11:0", "6 1:0 4:1 6:2 8:3 10:0", "B45 2:2 4:0"]
"""Action unit, and frame:phase of its markers."""

MMI_SESSIONS = [
    (1, "S001-001", 4, 0, 12),
    (2, "S002-003", 1, 0, 9),
    (3, "S002-004", 6, 1, 9),
    (4, "S003-001", None, 0, 9),
    (5, "S003-002", 8, 0, 9),
]
"""Session, sequence, emotion, view, number of frames."""


def mmi_frame(session: int, frame: int) -> np.ndarray:
    """A frame as bright as ten times its number."""
    blocks = picture(100 * session + frame, 8, 3) % 8 - np.uint8(4)
    return np.full((48, 64, 3), 10 * frame, np.uint8) + blocks.repeat(6, 0).repeat(8, 1)


def mmi_annotations(root: Path) -> None:
    for session, name, emotion, view, _ in MMI_SESSIONS:
        folder = root / "Sessions" / str(session)
        tag = "" if emotion is None else f'<Metatag Name="Emotion" Value="{emotion}"/>'
        track = f'<track view="{view}" filename="{name}.avi"><annotation filename="{name}-oao_aucs.xml"/></track>'
        write_lines(folder / "session.xml", [f'<session sessionId="{session}"><subject id="7"/>{track}</session>'])
        write_lines(
            folder / f"{name}.xml",
            [
                '<?xml version="1.0" encoding="UTF-8"?>',
                f'<Annotation><Metatag Name="Session" Value="a"/>{tag}</Annotation>',
            ],
        )
    lines = ['<AUCodingScheme xmlns="http://example.org/au">']
    for line in OAO_MARKERS:
        unit, *markers = line.split()
        marked = [f'<Marker Frame="{pair.split(":")[0]}" Type="{pair.split(":")[1]}"/>' for pair in markers]
        lines.append(f'<ActionUnit Number="{unit}"><!-- {line} -->{"".join(marked)}</ActionUnit>')
    write_lines(root / "Sessions/1/S001-001-oao_aucs.xml", [*lines, "</AUCodingScheme>"])


def write_mmi(root: Path) -> None:
    import cv2

    mmi_annotations(root)
    for session, name, _, _, count in MMI_SESSIONS:
        file = root / "Sessions" / str(session) / f"{name}.avi"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 24, (64, 48))
        for frame in range(1, count + 1):
            writer.write(mmi_frame(session, frame)[..., ::-1])
        writer.release()


def write_mmi_frames(root: Path) -> None:
    mmi_annotations(root)
    for session, name, _, _, count in MMI_SESSIONS:
        for frame in range(1, count + 1):
            images.write(root / "Sessions" / str(session) / name / f"frame_{frame:03}.png", mmi_frame(session, frame))


CK_ENHANCED_HEADER = "image AU1 AU2 AU4 AU5 AU6 AU7 AU9 AU12 AU15 AU17 AU23 AU24 AU25 AU27"
CK_ENHANCED_SEQUENCES = {
    "S010_002": ["0 0 0 0 0 0 0 0 0 0 0 0 0 0", "1 0 0 0 1 0 0 1 0 0 0 0 1 0", "1 1 0 1 1 0 0 1 0 0 0 0 1 1"],
    "S011_001": ["0 0 1 0 0 0 0 0 0 0 0 0 0 0", "0 0 1 0 0 1 1 0 0 1 0 0 0 0"],
}


def write_ck_enhanced(root: Path) -> None:
    for number, (sequence, lines) in enumerate(CK_ENHANCED_SEQUENCES.items()):
        names = [f"{sequence}_{1594210 + frame:08}" for frame in range(len(lines))]
        for frame, name in enumerate(names):
            images.write(root / sequence.replace("_", "/") / f"{name}.png", picture(10 * number + frame))
        labeled = [f"{name} {line}" for name, line in zip(names, lines)]
        write_lines(root / f"labels/{sequence}.txt", [CK_ENHANCED_HEADER, *labeled])
    images.write(root / "S012/001/S012_001_00000001.png", picture(99))
    write_lines(root / "readme.txt", ["Labels of every frame."])
    (root / "labels/._S010_002.txt").write_bytes(b"\xff\0")
