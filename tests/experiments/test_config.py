"""Options that are wrong with any data; the rest is for the recipe."""

import dataclasses

import pytest

from tflottery.studies.config import Config


def test_the_defaults_are_sound(every_experiment):
    members = getattr(every_experiment, "members", lambda config: [config])
    for config in (every_experiment.Config(), every_experiment.Config.tiny()):
        for one in members(config):
            one.validate()
    Config().validate()


def test_every_option_has_a_help_text_that_names_what_decides_its_default(
    every_experiment,
):
    for field in dataclasses.fields(every_experiment.Config):
        text = field.metadata["help"]
        assert text, field.name
        if field.default is None:
            assert "None: " in text, field.name


@pytest.mark.parametrize(
    "options",
    [
        {"rewind_iterations": (0, "4ep", "3ep50it", "500it", "500")},
        {"training_iterations": "2ep"},
        {"milestones": ()},
        {"milestones": ("10ep", 20)},
        {"milestones": (5, "10"), "training_iterations": 11},
        {"milestones": (5, "10ep"), "training_iterations": 4},
        {"training_iterations": 99_999_999},
        {"warmup": 0},
        {"model": "resnet20", "decay_factor": 0.5},
        {"milestones": ("1ep",), "decay_factor": 0.5},
        {"momentum": 0.0, "optimizer": "sgd"},
        {"weight_decay": 0.0},
        {"augmentation": "none"},
        {"model": "vgg16", "variant": "low"},
    ],
)
def test_sound_options(options):
    Config(**options).validate()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rewind_iterations": ("2 ep",)}, "'2 ep' is not a duration"),
        ({"milestones": ("10ep", "x")}, "'x' is not a duration"),
        ({"warmup": "-5"}, "'-5' is not a duration"),
        ({"training_iterations": ""}, "'' is not a duration"),
        ({"training_iterations": "0"}, "='0' is no iteration at all"),
        ({"dataset": ""}, "--dataset is empty: name a data set, or leave it out"),
        ({"shaped_like": ""}, "--shaped_like is empty"),
        ({"decay_factor": 0.0}, "decay_factor=0.0"),
        ({"learning_rate": float("inf")}, "learning_rate=inf"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"training_iterations": "1e20"}, "'1e20' is not a duration"),
        (
            {"training_iterations": 10**20},
            r"000,000 iterations, .* 99,999,999",
        ),
        ({"rewind_iterations": ("1000000000ep",)}, "is 1,000,000,000 epochs"),
        ({"milestones": (20, 10)}, "--milestones=20,10 have to ascend"),
        ({"milestones": (20, "20it")}, "--milestones=20,20 have to ascend"),
        (
            {"milestones": (5, 20, 30), "training_iterations": "20"},
            "--milestones=5,20,30 go beyond the end of training at 20: at 20, 30 no",
        ),
        (
            {"rewind_iterations": (5, 21, "9ep"), "training_iterations": 20},
            r"--rewind_iterations names \[21\], beyond the end of training at 20",
        ),
        (
            {"dataset": "digits", "rewind_iterations": ("601",)},
            r"names \[601\], beyond .* training at 600",
        ),
        (
            {"dataset": "digits", "warmup": 601},
            "--warmup=601 goes beyond the end of training at 600",
        ),
        (
            {"dataset": "digits", "milestones": (600,)},
            "go beyond the end of training at 600",
        ),
        ({"warmup": 24_001}, "end of training at 24000"),
        (
            {"model": "resnet20", "dataset": "digits", "warmup": 601},
            "end of training at 600",
        ),
        ({"learning_rate": -1.0}, "--learning_rate=-1.0 has to be above 0"),
        ({"momentum": 0.5}, "--momentum=0.5 is of sgd, and the optimizer is adam"),
        (
            {"model": "resnet20", "optimizer": "adam", "momentum": 0.0},
            "--momentum=0.0 is of sgd, and the optimizer is adam.* --optimizer=sgd",
        ),
        (
            {"decay_factor": 0.5},
            "--decay_factor=0.5 .* no milestones. Leave .* give --milestones",
        ),
        ({"model": "resnet20", "milestones": (), "decay_factor": 0.5}, "no milestones"),
        ({"replicates": 10**6}, "--replicates=1000000 has to be at most 1,000"),
        ({"momentum": float("nan")}, "momentum=nan"),
        ({"model": "resnet20", "variant": "fast"}, "'resnet20' has no variant 'fast'"),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(ValueError, match=text):
        Config(**options).validate()
